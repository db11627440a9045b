"""Training the tiny AutoencoderKL: L1 + gradient loss on 64 px windows, a light KL term.

Rombach et al. 2022, section 3.1, without the adversarial part: a small decoder that is asked
for edges directly (L1 on image gradients) keeps ripples crisp.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from tasks.models.training.checkpoints import load_checkpoint, save_checkpoint

Log = Callable[[str], None]
DECODER_BATCH = 8


def new_autoencoder() -> AutoencoderKL:
    """A fresh f = 4 autoencoder with 4 latent channels: 64 px windows become 16x16x4."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def as_model_input(windows: NDArray[np.uint8]) -> torch.Tensor:
    """(n, 3, h, w) float32 in [-1, 1] from (n, h, w, 3) uint8."""
    return torch.from_numpy(windows).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def _gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def reconstruction_loss(
    output: torch.Tensor, target: torch.Tensor, squares: float = 2.0
) -> torch.Tensor:
    """L1 + L1 of gradients + `squares` L2 (the last for PSNR), all in the [-1, 1] scale."""
    edges = sum(
        torch.nn.functional.l1_loss(a, b)
        for a, b in zip(_gradients(output), _gradients(target), strict=True)
    )
    mse = torch.nn.functional.mse_loss(output, target)
    return torch.nn.functional.l1_loss(output, target) + edges + squares * mse


def psnr_db(vae: AutoencoderKL, windows: NDArray[np.uint8], batch: int = 64) -> float:
    """Mean PSNR in dB of the round trip, over the windows."""
    values = []
    vae.eval()
    with torch.inference_mode():
        for start in range(0, len(windows), batch):
            x = as_model_input(windows[start : start + batch]).to(vae.device)
            y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
            mse = ((x - y) / 2).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
            values.extend((-10 * torch.log10(mse)).tolist())
    vae.train()
    return float(np.mean(values))


def train_autoencoder(
    windows: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    checkpoint: Path,
    *,
    steps: int = 5000,
    seed: int = 0,
    log: Log = print,
) -> AutoencoderKL:
    """A trained autoencoder, its scaling factor set so that latents have unit variance.

    Args:
        windows, held_out: (n, 64, 64, 3) uint8.
        checkpoint: resumed from when it exists, written every 250 steps.
    """
    torch.manual_seed(seed)
    vae = new_autoencoder()

    def loss_of(x: torch.Tensor) -> torch.Tensor:
        posterior = vae.encode(x).latent_dist
        output = vae.decode(posterior.sample()).sample
        return reconstruction_loss(output, x) + 1e-5 * posterior.kl().mean() / 256

    _fit(vae, vae, loss_of, windows, held_out, checkpoint, steps, 1.5e-3, seed, log)
    with torch.inference_mode():
        latents = vae.encode(as_model_input(held_out[:512])).latent_dist.mode()
    vae.register_to_config(scaling_factor=float(1.0 / latents.std()))
    return vae


def train_decoder(
    vae: AutoencoderKL,
    windows: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    checkpoint: Path,
    *,
    steps: int = 4000,
    learning_rate: float = 1.2e-3,
    squares: float = 8.0,
    seed: int = 0,
    log: Log = print,
) -> AutoencoderKL:
    """The same autoencoder with its decoder trained longer: latents already made stay valid.

    `squares` weighs the squared error; much of it at the end buys PSNR.
    """
    torch.manual_seed(seed)
    vae.requires_grad_(requires_grad=False)
    trained = torch.nn.ModuleList([vae.decoder, vae.post_quant_conv])
    trained.requires_grad_(requires_grad=True)

    def loss_of(x: torch.Tensor) -> torch.Tensor:
        return _decoded_loss(vae, x, squares)

    _fit(vae, trained, loss_of, windows, held_out, checkpoint, steps, learning_rate, seed + 1, log)
    return vae


def decoder_loss(vae: AutoencoderKL, windows: NDArray[np.uint8]) -> torch.Tensor:
    """The loss of (n, s, s, 3) windows that are encoded as they are and decoded again."""
    return _decoded_loss(vae, as_model_input(windows).to(vae.device), squares=8.0)


def _decoded_loss(vae: AutoencoderKL, x: torch.Tensor, squares: float) -> torch.Tensor:
    with torch.no_grad():
        latents = vae.encode(x).latent_dist.mode()
    return reconstruction_loss(vae.decode(latents).sample, x, squares=squares)


def _fit(
    vae: AutoencoderKL,
    trained: torch.nn.Module,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    windows: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    checkpoint: Path,
    steps: int,
    learning_rate: float,
    seed: int,
    log: Log,
    batch: int = DECODER_BATCH,
) -> None:
    """One training of `trained`, a part of the autoencoder, from its checkpoint on."""
    optimizer = torch.optim.AdamW(trained.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    first = 0
    if (state := load_checkpoint(checkpoint)) is not None:
        trained.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    vae.train()
    started = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * one_cycle(step, steps)
        picks = np.random.default_rng((seed, step)).integers(len(windows), size=batch)
        x = flipped(as_model_input(windows[picks]), seed=(seed, step, 1))
        loss = loss_of(x.to(vae.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 250 == 0 or step + 1 == steps:
            weights = {"model": trained.state_dict(), "optimizer": optimizer.state_dict()}
            save_checkpoint(checkpoint, {**weights, "step": step + 1})
            log(
                f"vae {step + 1}/{steps} loss {loss.item():.4f} "
                f"psnr {psnr_db(vae, held_out[:256]):.2f} dB {time.monotonic() - started:.0f} s"
            )
    vae.eval()


def one_cycle(step: int, steps: int, warm_up: int = 100) -> float:
    """Learning-rate factor in (0, 1]: linear warm-up, then half a cosine down to 1 %."""
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def flipped(x: torch.Tensor, seed: tuple[int, ...]) -> torch.Tensor:
    """Each (3, h, w) window of the batch mirrored or not, up-down and left-right, at random."""
    rng = np.random.default_rng(seed)
    ups, lefts = rng.random((2, len(x))) < 0.5
    x = torch.where(torch.from_numpy(ups)[:, None, None, None], x.flip(2), x)
    return torch.where(torch.from_numpy(lefts)[:, None, None, None], x.flip(3), x)
