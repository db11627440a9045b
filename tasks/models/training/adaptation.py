"""Adapting an inpainter to a plant: its sound surface, its few defects, a learned word a kind.

Loss = diffusion loss on the region, the defect counted three times, over batches of which a fixed
part are sound windows under the sound caption: they teach the surface and preserve what the base
knows (prior preservation: Ruiz et al., DreamBooth, CVPR 2023). A small base trains all its weights;
a large one LoRA factors in the UNet's attention (Hu et al., ICLR 2022) and the new tokens alone.
The weights kept are an average over steps, at the last step on the plateau of the held-out loss;
after three looks above it training stops.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.models.training.autoencoder import Log, one_cycle
from tasks.models.training.checkpoints import load_checkpoint, save_checkpoint
from tasks.models.training.inpainter import Latents, as_tokens, diffusion_loss
from tasks.models.training.plant_samples import Wording

TOLERANCE, PATIENCE = 1.05, 3
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CHECK_BATCH = 16


@dataclass(frozen=True)
class Recipe:
    """How an adaptation is trained."""

    batch: int = 16
    learning_rate: float = 3e-4
    sound_share: float = 0.4
    caption_dropout: float = 0.1
    average_over: int = 200
    check_every: int = 100
    lora_rank: int = 0
    seed: int = 0


@dataclass
class Adapted:
    """What training leaves: the average's weights by name, and the held-out losses by step."""

    weights: dict[str, torch.Tensor]
    steps: int
    best_step: int
    losses: dict[int, float]
    seconds_per_step: float


def with_tokens(pipeline: Any, wording: Wording) -> None:
    """Give the tokenizer and text encoder one new token a kind, each begun at its words' mean."""
    tokenizer, text = pipeline.tokenizer, pipeline.text_encoder
    table = text.get_input_embeddings().weight
    for kind in wording.prompts:
        token = f"<{kind}>"
        while token in tokenizer.get_vocab():
            token = f"<{token[1:-1]}+>"
        ids = tokenizer(wording.prompts[kind], add_special_tokens=False).input_ids
        start = table[torch.tensor(ids)].mean(dim=0).detach().clone()
        tokenizer.add_tokens([token])
        text.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table = text.get_input_embeddings().weight
        with torch.no_grad():
            table[tokenizer.convert_tokens_to_ids(token)] = start
        wording.tokens[kind] = token


def trainable(pipeline: Any, recipe: Recipe, new_tokens: int) -> torch.nn.ModuleDict:
    """`unet` and `text` with `requires_grad` on what the recipe trains, off on all else."""
    torch.manual_seed(recipe.seed)
    unet, text = pipeline.unet, pipeline.text_encoder
    model = torch.nn.ModuleDict({"unet": unet, "text": text})
    if not recipe.lora_rank:
        return model.requires_grad_(requires_grad=True)
    from peft import LoraConfig

    model.requires_grad_(requires_grad=False)
    config = LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_rank, init_lora_weights="gaussian",
        target_modules=list(ATTENTION),
    )  # fmt: skip
    unet.add_adapter(config)
    unet.enable_gradient_checkpointing()  # a large UNet's activations outweigh its weights
    table = text.get_input_embeddings().weight
    table.requires_grad_(requires_grad=True)
    old = len(table) - new_tokens
    table.register_hook(lambda grad: torch.cat([torch.zeros_like(grad[:old]), grad[old:]]))
    return model


def fit(
    pipeline: Any,
    model: torch.nn.ModuleDict,
    train: Latents,
    is_sound: torch.Tensor,
    held_out: Latents,
    checkpoint: Path,
    recipe: Recipe,
    *,
    steps: int,
    log: Log = print,
) -> Adapted:
    """Train until `steps`; the pipeline then carries the average of the best held-out step.

    Resumes from `checkpoint`; every step's random numbers come from (seed, step), so a resumed
    training ends in the same weights as an undisturbed one.

    Args:
        model: what `trainable` made of the pipeline.
        train: latents; `is_sound` (n,) tells which of them show no defect.
        held_out: latents of other parts.
        steps: of the whole training.
    """
    moving = {name: p for name, p in model.named_parameters() if p.requires_grad}
    decay_free = recipe.lora_rank > 0  # a decayed token table would move the old tokens
    optimizer = torch.optim.AdamW(
        moving.values(), lr=recipe.learning_rate, weight_decay=0.0 if decay_free else 1e-2
    )
    average = {name: p.detach().clone() for name, p in moving.items()}
    empty = as_tokens(pipeline.tokenizer, [""])
    first, losses, best = 0, {}, {name: p.clone() for name, p in average.items()}
    if (state := load_checkpoint(checkpoint)) is not None:
        _load(moving, state["moving"])
        optimizer.load_state_dict(state["optimizer"])
        average, best = state["average"], state["best"]
        first, losses = state["step"], dict(state["losses"])
    started = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * one_cycle(step, steps, min(50, steps // 10 + 1))
        loss = step_loss(model, pipeline, train, is_sound, recipe, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(moving.values(), 1.0)
        optimizer.step()
        decay = min(1 - 1 / recipe.average_over, (1 + step) / (10 + step))
        for name, value in moving.items():
            average[name].lerp_(value.detach(), 1 - decay)
        if (step + 1) % recipe.check_every == 0 or step + 1 == steps:
            losses[step + 1] = _held_out_loss(model, moving, average, pipeline, held_out, empty)
            if kept_step(losses) == step + 1:
                best = {name: value.clone() for name, value in average.items()}
            save_checkpoint(
                checkpoint,
                {
                    "moving": {name: p.detach() for name, p in moving.items()},
                    "average": average, "best": best, "optimizer": optimizer.state_dict(),
                    "step": step + 1, "losses": losses,
                },
            )  # fmt: skip
            log(f"adapt {step + 1}/{steps} loss {loss.item():.4f} held out {losses[step + 1]:.4f} "
                f"{(time.monotonic() - started) / (step + 1 - first):.2f} s/step")  # fmt: skip
        if step + 1 - kept_step(losses) > PATIENCE * recipe.check_every:
            break
    _load(moving, best)
    model.eval()
    best_step = kept_step(losses)
    pace = (time.monotonic() - started) / max(1, steps - first)
    return Adapted(best, max(losses, default=first), best_step, losses, pace)


def kept_step(losses: Mapping[int, float]) -> int:
    """The last step that the plateau of the held-out loss reaches; 0 without any.

    The loss of few windows wavers by some per cent while pictures still improve: what is within
    5 % of the lowest so far is the plateau, what rises above it has been learned by heart.
    """
    lowest, kept = math.inf, 0
    for step, loss in sorted(losses.items()):
        lowest = min(lowest, loss)
        if loss <= TOLERANCE * lowest:
            kept = step
    return kept


def step_loss(
    model: torch.nn.ModuleDict,
    pipeline: Any,
    train: Latents,
    is_sound: torch.Tensor,
    recipe: Recipe,
    step: int,
) -> torch.Tensor:
    """The loss of one step, a fixed part of it sound windows; chance comes from (seed, step)."""
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    sound, defects = torch.nonzero(is_sound).ravel(), torch.nonzero(~is_sound).ravel()
    share = recipe.sound_share if len(defects) else 1.0
    count = round(recipe.batch * share) if len(sound) else 0
    picks = torch.cat(
        [
            part[torch.randint(len(part), (number,), generator=generator)]
            for part, number in ((sound, count), (defects, recipe.batch - count))
            if number
        ]
    )
    empty = as_tokens(pipeline.tokenizer, [""])
    return diffusion_loss(
        model, pipeline.scheduler, train, picks, empty, recipe.caption_dropout, generator
    )


def _load(moving: dict[str, torch.nn.Parameter], values: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            moving[name].copy_(value)


def _held_out_loss(
    model: torch.nn.ModuleDict,
    moving: dict[str, torch.nn.Parameter],
    average: dict[str, torch.Tensor],
    pipeline: Any,
    held_out: Latents,
    empty: torch.Tensor,
) -> float:
    """Mean loss of the average's weights on the held-out windows, the same noise each time."""
    kept = {name: p.detach().clone() for name, p in moving.items()}
    _load(moving, average)
    values = []
    with torch.inference_mode():
        for start in range(0, len(held_out.clean), CHECK_BATCH):
            rows = torch.arange(start, min(start + CHECK_BATCH, len(held_out.clean)))
            generator = torch.Generator().manual_seed(start)
            loss = diffusion_loss(model, pipeline.scheduler, held_out, rows, empty, 0.0, generator)
            values.append(loss.item())
    _load(moving, kept)
    return float(np.mean(values))
