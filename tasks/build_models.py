"""Training the tiny model set: renders in, a folder in the libraries' own formats out.

Every part keeps its checkpoints in a work folder, so a killed build goes on where it stopped.
"""

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prefect import task
from prefect.logging import get_logger
from pydantic import BaseModel, ConfigDict, Field

from tasks.factory.captions import CAPTIONS, PROMPTS
from tasks.factory.render import SOUND, TRAINED_KINDS
from tasks.factory.scenes import segmentation_scene
from tasks.factory.windows import window_samples
from tasks.models.model_set import Defaults, ModelSet, Part, write_model_set
from tasks.models.segmenter import SamConfig
from tasks.models.training.inpainter import InpaintingWindows, Latents

CHUNK = 250
WINDOW_PX = 64


class Recipe(BaseModel):
    """How much of everything; the defaults made the committed set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(1, ge=0, description="Of all renders and trainings")
    windows: int = Field(14000, ge=500, description="64 px training windows")
    held_out: int = Field(750, ge=250, description="Windows that only measure")
    autoencoder_steps: int = Field(2600, ge=1)
    decoder_steps: int = Field(9000, ge=1)
    decoder_end_steps: int = Field(1500, ge=1, description="With the squared error weighted more")
    inpainter_steps: int = Field(12000, ge=1)
    scenes: int = Field(1250, ge=10, description="256 px scenes for the segmenter")
    segmenter_steps: int = Field(3400, ge=1)
    embedder_steps: int = Field(800, ge=1)
    strength: float = Field(0.7, gt=0, le=1, description="The set's own default strength")
    guidance_scale: float = Field(3.0, ge=1, description="The set's own default guidance")


def _window_chunk(seed: int, count: int) -> dict[str, Any]:
    """One worker's share of windows as arrays."""
    samples = list(window_samples(seed, count, side_px=WINDOW_PX))
    return {
        "images": np.stack([s.image_rgb for s in samples]),
        "beads": np.stack([s.bead_mask for s in samples]),
        "defects": np.stack([s.defect_mask for s in samples]),
        "kinds": np.array([s.kind for s in samples]),
        "captions": np.array([s.caption for s in samples]),
    }


def _scene_chunk(seed: int, count: int) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """One worker's share of segmentation scenes."""
    return [segmentation_scene(seed * 100_003 + i) for i in range(count)]


@contextmanager
def _workers() -> Iterator[ProcessPoolExecutor]:
    """One process a core, freshly started: torch does not survive a fork."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield pool


@task(name="render windows")
def render_windows(work: Path, name: str, seed: int, count: int) -> Path:
    """Training windows of random styles as an .npz in the work folder."""
    path = work / f"{name}.npz"
    if path.exists():
        return path
    work.mkdir(parents=True, exist_ok=True)
    seeds = [seed * 100_000 + i for i in range(-(-count // CHUNK))]
    with _workers() as pool:
        parts = list(pool.map(_window_chunk, seeds, repeat(CHUNK)))
    partial = work / f"{name}.partial.npz"
    arrays: dict[str, Any] = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    np.savez(partial, **arrays)
    os.replace(partial, path)
    return path


@task(name="train the autoencoder")
def train_autoencoder_part(work: Path, recipe: Recipe) -> Path:
    """The trained AutoencoderKL in the work folder."""
    from tasks.models.training.autoencoder import train_autoencoder

    out = work / "vae"
    if not (out / "config.json").exists():
        with np.load(work / "windows.npz") as train, np.load(work / "held_out.npz") as held_out:
            vae = train_autoencoder(
                train["images"], held_out["images"], work / "vae.pt",
                steps=recipe.autoencoder_steps, seed=recipe.seed, log=_log,
            )  # fmt: skip
        vae.save_pretrained(out)
    return out


@task(name="train the decoder longer")
def train_decoder_part(work: Path, recipe: Recipe) -> Path:
    """The autoencoder with its decoder trained longer; may run beside the inpainter's training."""
    from diffusers import AutoencoderKL

    from tasks.models.training.autoencoder import train_decoder

    out = work / "vae_longer"
    if not (out / "config.json").exists():
        vae = AutoencoderKL.from_pretrained(work / "vae")
        with np.load(work / "windows.npz") as train, np.load(work / "held_out.npz") as held_out:
            train_decoder(
                vae, train["images"], held_out["images"], work / "decoder.pt",
                steps=recipe.decoder_steps, seed=recipe.seed, log=_log,
            )  # fmt: skip
            train_decoder(
                vae, train["images"], held_out["images"], work / "decoder_end.pt",
                steps=recipe.decoder_end_steps, learning_rate=4e-4, squares=40.0,
                seed=recipe.seed + 1, log=_log,
            )  # fmt: skip
        vae.save_pretrained(out)
    return out


@task(name="encode the windows")
def encode_windows(work: Path, recipe: Recipe) -> Path:
    """Latents of all windows, each with a random region and flip."""
    from diffusers import AutoencoderKL

    from tasks.models.training.inpainter import encoded, sampled
    from tasks.models.training.vocabulary import trained_tokenizer

    out = work / "latents.pt"
    if not out.exists():
        wordings = [w for kind in ("sound", *TRAINED_KINDS) for w in CAPTIONS[kind]]
        tokenizer = trained_tokenizer(wordings, work / "tokenizer")
        vae = AutoencoderKL.from_pretrained(work / "vae").eval()
        with np.load(work / "windows.npz") as held:
            windows = InpaintingWindows(
                images=held["images"], beads=held["beads"], defects=held["defects"],
                kinds=held["kinds"].tolist(), captions=held["captions"].tolist(),
            )  # fmt: skip
        latents = encoded(vae, tokenizer, sampled(windows, recipe.seed, copies=2))
        torch.save(vars(latents), work / "latents.partial")
        os.replace(work / "latents.partial", out)
    return out


@task(name="train the inpainter")
def train_inpainter_part(work: Path, recipe: Recipe) -> Path:
    """The UNet and its text encoder in the work folder."""
    from transformers import CLIPTokenizer

    from tasks.models.training.inpainter import train_inpainter

    out = work / "unet"
    if not (out / "config.json").exists():
        tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        latents = Latents(**torch.load(work / "latents.pt", weights_only=True))
        unet, text = train_inpainter(
            latents, tokenizer, work / "unet.pt",
            steps=recipe.inpainter_steps, batch=16, seed=recipe.seed, log=_log,
        )  # fmt: skip
        text.save_pretrained(work / "text_encoder")
        unet.save_pretrained(out)
    return out


@task(name="assemble the inpainter")
def assemble_inpainter(work: Path) -> Path:
    """VAE, UNet, text encoder, tokenizer, scheduler: a StableDiffusionInpaintPipeline folder."""
    from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from tasks.models.training.inpainter import new_scheduler

    half, out = {"torch_dtype": torch.float16}, work / "inpainter"
    StableDiffusionInpaintPipeline(
        vae=AutoencoderKL.from_pretrained(work / "vae_longer", **half),
        text_encoder=CLIPTextModel.from_pretrained(work / "text_encoder", **half),
        unet=UNet2DConditionModel.from_pretrained(work / "unet", **half),
        tokenizer=CLIPTokenizer.from_pretrained(work / "tokenizer"),
        scheduler=new_scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(out)  # fmt: skip
    return out


@task(name="train the segmenter")
def train_segmenter_part(work: Path, recipe: Recipe) -> Path:
    """The trained Sam: config.json and model.safetensors."""
    from safetensors.torch import save_file

    from tasks.models.training.segmenter import train_segmenter

    out = work / "segmenter"
    if not (out / "model.safetensors").exists():
        out.mkdir(parents=True, exist_ok=True)
        config = SamConfig()
        with _workers() as pool:
            seeds = [recipe.seed * 1000 + i for i in range(-(-recipe.scenes // CHUNK * 5))]
            chunks = pool.map(_scene_chunk, seeds, repeat(CHUNK // 5))
            scenes = [scene for chunk in chunks for scene in chunk]
        sam = train_segmenter(
            scenes, config, work / "segmenter.pt",
            steps=recipe.segmenter_steps, seed=recipe.seed, log=_log,
        )  # fmt: skip
        (out / "config.json").write_text(config.model_dump_json(indent=1) + "\n")
        save_file(_halved(sam.state_dict()), out / "model.safetensors")
    return out


@task(name="train the embedder")
def train_embedder_part(work: Path, recipe: Recipe) -> Path:
    """The trained CLIP as an open_clip folder."""
    from safetensors.torch import save_file

    from tasks.models.training.embedder import captions_as_tokens, model_config, train_embedder
    from tasks.models.training.vocabulary import MAX_TOKENS, trained_tokenizer

    out = work / "embedder"
    if not (out / "open_clip_model.safetensors").exists():
        wordings = [w for kind in ("sound", *TRAINED_KINDS) for w in CAPTIONS[kind]]
        tokenizer = trained_tokenizer(wordings, out)
        with np.load(work / "windows.npz") as held:
            images, names, captions = held["images"], held["kinds"], held["captions"].tolist()
        _, kinds = np.unique(names, return_inverse=True)
        tokens = captions_as_tokens(
            lambda texts: (
                tokenizer(
                    texts, padding="max_length", max_length=MAX_TOKENS, return_tensors="pt"
                ).input_ids
            ),
            captions,
        )
        model = train_embedder(
            images, kinds, tokens, work / "embedder.pt", steps=recipe.embedder_steps,
            batch=64, vocabulary=len(tokenizer), seed=recipe.seed, log=_log,
        )  # fmt: skip
        config = model_config(len(tokenizer), MAX_TOKENS)
        (out / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file(_halved(model.state_dict()), out / "open_clip_model.safetensors")
    return out


@task(name="assemble the model set")
def assemble(work: Path, out: Path, defaults: Defaults, version: str) -> Path:
    """The parts copied to `out` with their `model_set.json`; the model card stays as it is."""
    for name in ("segmenter", "inpainter", "embedder"):
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(work / name, out / name)
    write_model_set(
        ModelSet(
            name="tiny", version=version, root=out, native_window_px=WINDOW_PX, embedding_dim=512,
            full_precision=True, kinds=TRAINED_KINDS, defaults=defaults,
            prompts={kind: PROMPTS[kind] for kind in TRAINED_KINDS}, sound_prompt=PROMPTS[SOUND],
            segmenter=Part(format="sam_safetensors", path="segmenter"),
            inpainter=Part(format="diffusers", path="inpainter"),
            embedder=Part(format="open_clip_dir", path="embedder"),
            files={},
        )
    )  # fmt: skip
    return out


def _halved(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Half precision on disk; loaded models compute in float32."""
    return {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}


def _log(message: str) -> None:
    get_logger("poolstar.training").info(message)
