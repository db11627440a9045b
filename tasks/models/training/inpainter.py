"""Training the tiny 9-channel inpainting UNet with its text encoder on captioned windows.

v-prediction (Salimans and Ho 2022), weighted min(1, 5 / (SNR + 1)): nearly clean steps count less,
as in Hang et al. 2023; noisy ones, which decide colour and shape, count in full. Captions dropped
for classifier-free guidance (Ho and Salimans 2022), and the loss taken on the region only: what
the UNet says outside M is discarded by the composition.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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


@dataclass(frozen=True)
class Sample:
    """One training example: image (s, s, 3) uint8, region and defect (s, s), and its caption."""

    image: NDArray[np.uint8]
    region: NDArray[np.bool_]
    defect: NDArray[np.bool_]
    caption: str


@dataclass
class Latents:
    """Encoded samples: clean and masked-image latents (n, 4, h, w), masks (n, 1, h, w), tokens."""

    clean: torch.Tensor
    masked: torch.Tensor
    mask: torch.Tensor
    defect: torch.Tensor
    tokens: torch.Tensor


def sampled(windows: InpaintingWindows, seed: int, copies: int) -> Iterator[Sample]:
    """Every window so many times, each time with another region and flip."""
    for copy in range(copies):
        for i, caption in enumerate(windows.captions):
            rng = np.random.default_rng((seed, copy, i))
            image, bead, defect = windows.images[i], windows.beads[i], windows.defects[i]
            if rng.random() < 0.5:
                image, bead, defect = image[:, ::-1], bead[:, ::-1], defect[:, ::-1]
            if rng.random() < 0.5:
                image, bead, defect = image[::-1], bead[::-1], defect[::-1]
            yield Sample(image, training_region(bead, defect, rng), defect, caption)


def encoded(
    vae: AutoencoderKL, tokenizer: CLIPTokenizer, samples: Iterable[Sample], batch: int = 64
) -> Latents:
    """Every sample encoded once: the UNet trains on latents only."""
    cell_px = 2 ** (len(vae.config.block_out_channels) - 1)
    parts: list[list[torch.Tensor]] = [[], [], [], []]
    captions: list[str] = []
    rest = iter(samples)
    while some := list(islice(rest, batch)):
        captions += [one.caption for one in some]
        x = as_model_input(np.stack([one.image for one in some])).to(vae.device, vae.dtype)
        m, d = (
            torch.from_numpy(np.stack([latent_mask(mask, cell_px) for mask in masks]))[:, None].to(
                vae.device
            )
            for masks in ([one.region for one in some], [one.defect for one in some])
        )
        with torch.inference_mode():
            clean = vae.encode(x).latent_dist.mode() * vae.config.scaling_factor
            masked = vae.encode(x * ~m).latent_dist.mode() * vae.config.scaling_factor
        small, thin = (mask[:, :, ::cell_px, ::cell_px] for mask in (m, d))
        for part, value in zip(parts, (clean.half(), masked.half(), small, thin), strict=True):
            part.append(value.cpu().contiguous())
    clean, masked, mask, defect = (torch.cat(part) for part in parts)
    return Latents(clean, masked, mask, defect, as_tokens(tokenizer, captions))


def as_tokens(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> torch.Tensor:
    """(n, tokens) token ids, padded to the model's length."""
    padded = tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(padded.input_ids)


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
    empty = as_tokens(tokenizer, [""])
    started, running = time.monotonic(), 0.0
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * one_cycle(step, steps, warm_up=200)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        picks = torch.randint(len(latents.clean), (batch,), generator=generator)
        loss = diffusion_loss(model, scheduler, latents, picks, empty, caption_dropout, generator)
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


def diffusion_loss(
    model: torch.nn.ModuleDict,
    scheduler: DDIMScheduler,
    latents: Latents,
    picks: torch.Tensor,
    empty: torch.Tensor,
    caption_dropout: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """The prediction error on the region, its defect counted three times, less where snr > 4.

    Of v or of the noise, as the scheduler says; the weight by SNR is for v alone.

    Args:
        model: `unet` and `text`.
        latents: of which the rows `picks` (b,) are taken.
        empty: (1, tokens), the empty caption that takes the place of a dropped one.
    """
    device = next(model.parameters()).device
    clean = latents.clean[picks].float().to(device)
    noise = torch.randn(clean.shape, generator=generator).to(device)
    times = torch.randint(scheduler.config.num_train_timesteps, (len(picks),), generator=generator)
    dropped = torch.rand(len(picks), generator=generator) < caption_dropout
    tokens = torch.where(dropped[:, None], empty, latents.tokens[picks]).to(device)
    times, mask = times.to(device), latents.mask[picks].float().to(device)
    noisy = scheduler.add_noise(clean, noise, times)
    words = model["text"](tokens).last_hidden_state
    inputs = torch.cat([noisy, mask, latents.masked[picks].float().to(device)], dim=1)
    predicted = model["unet"](inputs, times, encoder_hidden_states=words).sample
    weight = 0.05 + mask + 2.0 * latents.defect[picks].float().to(device) * mask
    is_v = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(clean, noise, times) if is_v else noise
    error = ((predicted - target).square() * weight).sum(dim=(1, 2, 3)) / (
        4 * weight.sum(dim=(1, 2, 3))
    )
    if not is_v:
        return error.mean()
    signal = scheduler.alphas_cumprod.to(device)[times]
    snr = signal / (1 - signal)
    return (error * torch.clamp(5.0 / (snr + 1), max=1.0)).mean()
