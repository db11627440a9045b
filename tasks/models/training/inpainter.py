"""Training the tiny 9-channel inpainting UNet with its text encoder on captioned windows.

v-prediction (Salimans and Ho 2022), weighted min(1, 5 / (SNR + 1)): nearly clean steps count less,
as in Hang et al. 2023; noisy ones, which decide colour and shape, count in full. Captions dropped
for classifier-free guidance (Ho and Salimans 2022), and the loss taken on the region only: what
the UNet says outside M is discarded by the composition.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tasks.domain.records import RegionStrategy
from tasks.domain.region import draw_region
from tasks.domain.window import latent_mask
from tasks.models.training.autoencoder import Log, as_model_input, one_cycle
from tasks.models.training.checkpoints import load_checkpoint, save_checkpoint

CELL_PX = 4


@dataclass(frozen=True)
class InpaintingWindows:
    """Training windows: images (n, s, s, 3) uint8, bead and defect masks (n, s, s), captions."""

    images: NDArray[np.uint8]
    beads: NDArray[np.bool_]
    defects: NDArray[np.bool_]
    kinds: Sequence[str]
    captions: Sequence[str]


def new_unet() -> UNet2DConditionModel:
    """A fresh UNet: 16x16 latents, 4 noisy + 1 mask + 4 masked-image channels."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=9,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 112, 160),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A fresh two-layer CLIP text model over the tokenizer's words."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_scheduler() -> DDIMScheduler:
    """SD 1.5's noise schedule with v-prediction."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def training_region(
    bead: NDArray[np.bool_], defect: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A region to repaint: around the defect where there is one, any shape on a sound bead.

    Defects are mostly given tight (their mask grown by 1-5 px), as `crack` or `pores` regions
    are at inference, sometimes inside a larger patch, band or the whole bead.
    """
    from scipy import ndimage

    side = bead.shape[0]
    if not defect.any():
        strategy = rng.choice(np.array(list(RegionStrategy), dtype=object))
        return draw_region(bead, strategy, rng, side)
    tight = ndimage.binary_dilation(defect, iterations=int(rng.integers(1, 6)))
    form = rng.random()
    if form < 0.65:
        return np.asarray(tight)
    if form < 0.85:
        loose = ndimage.binary_dilation(tight, iterations=int(rng.integers(3, 8)))
        return np.asarray(loose & (bead | tight))
    return np.asarray(bead | tight)


@dataclass
class Latents:
    """Encoded samples: clean and masked-image latents (n, 4, h, w), masks (n, 1, h, w), tokens."""

    clean: torch.Tensor
    masked: torch.Tensor
    mask: torch.Tensor
    defect: torch.Tensor
    tokens: torch.Tensor


def encode_samples(
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    windows: InpaintingWindows,
    *,
    seed: int,
    copies: int = 1,
    batch: int = 64,
    log: Log = print,
) -> Latents:
    """Every window encoded once with a random region and flip: the UNet trains on latents only."""
    parts: list[list[torch.Tensor]] = [[], [], [], []]
    order = [(c, i) for c in range(copies) for i in range(len(windows.images))]
    captions = []
    for start in range(0, len(order), batch):
        images, masks, defects = [], [], []
        for copy, i in order[start : start + batch]:
            rng = np.random.default_rng((seed, copy, i))
            image, bead, defect = windows.images[i], windows.beads[i], windows.defects[i]
            if rng.random() < 0.5:
                image, bead, defect = image[:, ::-1], bead[:, ::-1], defect[:, ::-1]
            if rng.random() < 0.5:
                image, bead, defect = image[::-1], bead[::-1], defect[::-1]
            region = training_region(bead, defect, rng)
            images.append(image)
            masks.append(latent_mask(region, CELL_PX))
            defects.append(latent_mask(defect, CELL_PX))
            captions.append(windows.captions[i])
        x = as_model_input(np.stack(images))
        m = torch.from_numpy(np.stack(masks))[:, None]
        d = torch.from_numpy(np.stack(defects))[:, None, ::CELL_PX, ::CELL_PX]
        with torch.inference_mode():
            clean = vae.encode(x).latent_dist.mode() * vae.config.scaling_factor
            masked = vae.encode(x * ~m).latent_dist.mode() * vae.config.scaling_factor
        small = m[:, :, ::CELL_PX, ::CELL_PX]
        for part, value in zip(parts, (clean.half(), masked.half(), small, d), strict=True):
            part.append(value.contiguous())
        if (start // batch) % 50 == 0:
            log(f"encoded {start}/{len(order)}")
    tokens = tokenizer(
        captions, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    clean, masked, mask, defect = (torch.cat(part) for part in parts)
    return Latents(clean, masked, mask, defect, tokens)


def train_inpainter(
    latents: Latents,
    tokenizer: CLIPTokenizer,
    checkpoint: Path,
    *,
    steps: int,
    batch: int = 32,
    learning_rate: float = 8e-4,
    caption_dropout: float = 0.12,
    seed: int = 0,
    log: Log = print,
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """The UNet and text encoder (exponential moving averages), trained from latents.

    Resumes from `checkpoint`; every step's random numbers come from (seed, step), so a resumed
    run is the same run.
    """
    torch.manual_seed(seed)
    unet, text = new_unet(), new_text_encoder(tokenizer)
    model = torch.nn.ModuleDict({"unet": unet, "text": text})
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    first = 0
    if (state := load_checkpoint(checkpoint)) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, first = state["average"], state["step"]
    scheduler = new_scheduler()
    empty = tokenizer([""], padding="max_length", return_tensors="pt").input_ids
    started, running = time.monotonic(), 0.0
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * one_cycle(step, steps, warm_up=200)
        loss = _loss(model, scheduler, latents, empty, batch, caption_dropout, (seed, step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay = min(0.999, (1 + step) / (10 + step))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
        running += loss.item()
        if (step + 1) % 100 == 0:
            log(
                f"unet {step + 1}/{steps} loss {running / 100:.4f} "
                f"{(time.monotonic() - started) / (step + 1 - first):.3f} s/step"
            )
            running = 0.0
        if (step + 1) % 250 == 0 or step + 1 == steps:
            save_checkpoint(
                checkpoint,
                {
                    "model": model.state_dict(),
                    "average": average,
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
            )
    model.load_state_dict(average)
    return unet.eval(), text.eval()


def _loss(
    model: torch.nn.ModuleDict,
    scheduler: DDIMScheduler,
    latents: Latents,
    empty: torch.Tensor,
    batch: int,
    caption_dropout: float,
    seed: tuple[int, int],
) -> torch.Tensor:
    """The v-prediction error on the region, its defect counted three times, less where snr > 4."""
    generator = torch.Generator().manual_seed(seed[0] * 1_000_003 + seed[1])
    picks = torch.randint(len(latents.clean), (batch,), generator=generator)
    clean = latents.clean[picks].float()
    noise = torch.randn(clean.shape, generator=generator)
    times = torch.randint(scheduler.config.num_train_timesteps, (batch,), generator=generator)
    tokens = latents.tokens[picks]
    dropped = torch.rand(batch, generator=generator) < caption_dropout
    tokens = torch.where(dropped[:, None], empty, tokens)
    mask = latents.mask[picks].float()
    noisy = scheduler.add_noise(clean, noise, times)
    words = model["text"](tokens).last_hidden_state
    inputs = torch.cat([noisy, mask, latents.masked[picks].float()], dim=1)
    predicted = model["unet"](inputs, times, encoder_hidden_states=words).sample
    target = scheduler.get_velocity(clean, noise, times)
    weight = 0.05 + mask + 2.0 * latents.defect[picks].float() * mask
    error = ((predicted - target).square() * weight).sum(dim=(1, 2, 3)) / (
        4 * weight.sum(dim=(1, 2, 3))
    )
    signal = scheduler.alphas_cumprod[times]
    snr = signal / (1 - signal)
    return (error * torch.clamp(5.0 / (snr + 1), max=1.0)).mean()
