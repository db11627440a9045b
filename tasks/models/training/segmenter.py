"""Training the tiny Sam as SAM was: points and boxes in, three masks out, the best one learns.

Loss: 20 focal + dice on the best mask of three, plus the error of the predicted IoU
(Kirillov et al. 2023, section A). Only float weights move; every step draws from (seed, step).
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tasks.models.segmenter import SamConfig, build_sam
from tasks.models.training.autoencoder import Log, one_cycle
from tasks.models.training.checkpoints import load_checkpoint, save_checkpoint

Scene = tuple[NDArray[np.uint8], Sequence[NDArray[np.bool_]]]


def train_segmenter(
    scenes: Sequence[Scene],
    config: SamConfig,
    checkpoint: Path,
    *,
    steps: int,
    batch: int = 8,
    prompts: int = 8,
    learning_rate: float = 1e-3,
    seed: int = 0,
    log: Log = print,
) -> Any:
    """A trained Sam; scenes are (image (s, s, 3) uint8, masks (s, s), the bead first)."""
    torch.manual_seed(seed)
    sam = build_sam(config)
    optimizer = torch.optim.AdamW(sam.parameters(), lr=learning_rate, weight_decay=1e-3)
    first = 0
    if (state := load_checkpoint(checkpoint)) is not None:
        sam.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    started = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * one_cycle(step, steps)
        rng = np.random.default_rng((seed, step))
        picks = rng.integers(len(scenes), size=batch)
        loss, iou = _loss(sam, [_turned(scenes[i], rng) for i in picks], prompts, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0:
            log(f"sam {step + 1}/{steps} loss {loss.item():.3f} iou {iou:.3f} "
                f"{time.monotonic() - started:.0f} s")  # fmt: skip
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save_checkpoint(
                checkpoint,
                {"model": sam.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1},
            )
    return sam.eval()


def _turned(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene under one of the eight symmetries of the square."""
    image, masks = scene
    turns, flip = int(rng.integers(4)), rng.random() < 0.5

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        array = np.rot90(array, turns)
        return np.ascontiguousarray(array[:, ::-1] if flip else array)

    return turned(image), [turned(mask) for mask in masks]


def _loss(
    sam: Any, scenes: Sequence[Scene], prompts: int, rng: np.random.Generator
) -> tuple[torch.Tensor, float]:
    """Mean loss over the prompts of a batch, and the mean IoU of the best masks."""
    images = torch.stack([torch.from_numpy(image).permute(2, 0, 1).float() for image, _ in scenes])
    embeddings = sam.image_encoder(sam.preprocess(images))
    position = sam.prompt_encoder.get_dense_pe()
    side = scenes[0][0].shape[0]
    losses, ious = [], []
    for embedding, (_, masks) in zip(embeddings, scenes, strict=True):
        share = np.array([0.6] + [0.4 / max(1, len(masks) - 1)] * (len(masks) - 1))
        wanted = rng.choice(len(masks), size=prompts, p=share / share.sum())
        target = torch.from_numpy(np.stack([masks[i] for i in wanted])).float()
        target = functional.interpolate(target[:, None], (side // 4, side // 4), mode="area")
        half = prompts // 2
        by_point = _prompted(
            sam, embedding, position, points=_points([masks[i] for i in wanted[:half]], rng)
        )
        by_box = _prompted(
            sam, embedding, position, boxes=_boxes([masks[i] for i in wanted[half:]], rng)
        )
        for (logits, quality), truth in ((by_point, target[:half]), (by_box, target[half:])):
            loss, iou = _mask_loss(logits, quality, truth)
            losses.append(loss)
            ious.append(iou)
    return torch.stack(losses).mean(), float(np.mean(ious))


def _prompted(
    sam: Any,
    embedding: torch.Tensor,
    position: torch.Tensor,
    points: tuple[torch.Tensor, torch.Tensor] | None = None,
    boxes: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (k, 3, h, w) and predicted IoU (k, 3) of k prompts on one image."""
    sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=None)
    logits, quality = sam.mask_decoder(
        image_embeddings=embedding[None],
        image_pe=position,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
    return logits, quality


def _mask_loss(
    logits: torch.Tensor, quality: torch.Tensor, truth: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Focal and dice of the best of three masks, and the error of all IoU predictions."""
    truth = truth.expand_as(logits)
    probability = logits.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    miss = probability * (1 - truth) + (1 - probability) * truth
    focal = (miss.square() * cross).mean(dim=(2, 3))
    overlap = (probability * truth).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum(dim=(2, 3)) + truth.sum(dim=(2, 3)) + 1)
    each = 20 * focal + dice
    best = each.argmin(dim=1, keepdim=True)
    with torch.no_grad():
        found, wanted = logits > 0, truth > 0.5
        both = (found & wanted).sum(dim=(2, 3)).float()
        iou = both / (found | wanted).sum(dim=(2, 3)).clamp_min(1)
    loss = each.gather(1, best).mean() + 0.1 * each.mean() + functional.mse_loss(quality, iou)
    return loss, float(iou.gather(1, best).mean())


def _points(
    masks: Sequence[NDArray[np.bool_]], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One point (x, y) inside each mask, label 1."""
    points = []
    for mask in masks:
        rows, cols = np.nonzero(mask)
        pick = int(rng.integers(len(rows)))
        points.append((float(cols[pick]), float(rows[pick])))
    return torch.tensor(points)[:, None], torch.ones(len(points), 1, dtype=torch.int)


def _boxes(masks: Sequence[NDArray[np.bool_]], rng: np.random.Generator) -> torch.Tensor:
    """The box (x0, y0, x1, y1) of each mask, jittered by up to 5 % of its sides."""
    boxes = []
    for mask in masks:
        rows, cols = np.nonzero(mask)
        box = np.array([cols.min(), rows.min(), cols.max(), rows.max()], dtype=np.float64)
        sides = np.array([np.ptp(cols), np.ptp(rows)] * 2) + 1
        boxes.append(np.clip(box + rng.normal(0, 0.03, 4) * sides, 0, mask.shape[0] - 1))
    return torch.tensor(np.array(boxes), dtype=torch.float32)
