"""The inpainter: Stable Diffusion inpainting through diffusers, in batches, one seed an image.

f(x, M, p) of article 3.2 on windows at the model's native resolution. diffusers runs
int(steps * strength) steps, so 25 at .35 are 8; `effective_steps` says so.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ModelSetError, ShapeError, TransientError
from tasks.domain.window import latent_mask
from tasks.models.adapter import merge_adapter
from tasks.models.device import half_precision, hardware_name, is_out_of_memory
from tasks.models.encodings import Encodings
from tasks.models.memory import chosen_batch, require_room
from tasks.models.single_file import load_single_file, require_inpainting

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PaintJob:
    """One window to paint: image (s, s, 3) uint8, region (s, s) bool, and how."""

    window_rgb: NDArray[np.uint8]
    region: NDArray[np.bool_]
    prompt: str
    negative_prompt: str
    seed: int
    strength: float
    guidance_scale: float
    steps: int

    @property
    def settings(self) -> tuple[float, float, int]:
        """What jobs of one diffusers call must share."""
        return self.strength, self.guidance_scale, self.steps


def effective_steps(steps: int, strength: float) -> int:
    """The denoising steps diffusers really runs: int(steps * strength), at least 1."""
    return max(1, min(int(steps * strength), steps))


def _unit_range(windows_rgb: Sequence[NDArray[np.uint8]]) -> "torch.Tensor":
    """(n, 3, s, s) float32 in [0, 1], as diffusers takes images."""
    import torch

    images = np.stack(windows_rgb).astype(np.float32) / 255.0
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def variant_of(folder: Path) -> str | None:
    """`fp16` where a folder holds only that, as the published SD 1.5 does in safetensors."""
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    half = folder / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    return "fp16" if half.is_file() and not weights.is_file() else None


def load_pipeline(path: str | Path, dtype: "torch.dtype", *, revision: str | None = None) -> Any:
    """The StableDiffusionInpaintPipeline at a path, in safetensors, on the CPU.

    Raises:
        ModelSetError: nothing usable is there; pickled weights are never loaded.
    """
    from diffusers import StableDiffusionInpaintPipeline
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": dtype, "safety_checker": None}
    try:
        if str(path).endswith(".safetensors"):
            pipeline = load_single_file(Path(path), dtype)
        else:
            pipeline = StableDiffusionInpaintPipeline.from_pretrained(
                str(path),
                revision=revision,
                use_safetensors=True,
                variant=variant_of(Path(path)),
                requires_safety_checker=False,
                **options,
            )
        require_inpainting(pipeline.unet.config.in_channels)
        return pipeline
    except (OSError, ValueError, KeyError) as exc:
        raise ModelSetError(
            f"Expected an inpainting pipeline in safetensors at {path}, but: {exc}"
        ) from exc


class Inpainter:
    """A loaded inpainting pipeline on one device."""

    def __init__(self, pipeline: Any, device: str, dtype: "torch.dtype") -> None:
        self._pipeline = pipeline
        pipeline.vae.encode = Encodings(pipeline.vae.encode)
        self.device = device
        self.dtype = str(dtype).removeprefix("torch.")
        self.device_batch = chosen_batch(pipeline, device, dtype)
        self.native_px: int = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        self._prompts: dict[str, torch.Tensor] = {}

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str,
        *,
        revision: str | None = None,
        adapter: Path | None = None,
        full_precision: bool = False,
    ) -> "Inpainter":
        """Load a diffusers folder, a single .safetensors file, or a pinned hub revision.

        Args:
            adapter: folder of an adaptation (see `tasks.models.adapter`), merged into the weights.

        Half precision where the device computes in it, channels last; attention is not sliced.

        Raises:
            ModelSetError: nothing usable is there; pickled weights are never loaded.
            TransientError: the GPU is too full for it now.
        """
        import torch

        dtype = torch.float32 if full_precision else half_precision(device)
        pipeline = load_pipeline(path, dtype, revision=revision)
        if adapter is not None:
            merge_adapter(pipeline, adapter)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
        require_room(pipeline, device, dtype)
        return cls(pipeline.to(device), device, dtype)

    @property
    def hardware(self) -> str:
        """What computes, as far as it can change a rounding: the GPU, or the CPU's instructions."""
        return hardware_name(self.device)

    @property
    def threads(self) -> int:
        """CPU threads that share a sum; how they share it changes its rounding."""
        import torch

        return torch.get_num_threads()

    @contextmanager
    def computing_as(self, *, device_batch: int, threads: int) -> Iterator[None]:
        """In device batches of that size, with so many threads, while the block runs."""
        import torch

        before = self.device_batch, torch.get_num_threads()
        self.device_batch = device_batch
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            self.device_batch = before[0]
            torch.set_num_threads(before[1])

    def paint(self, jobs: Sequence[PaintJob]) -> list[NDArray[np.float32]]:
        """The painted windows, in the jobs' order.

        Jobs are run in device batches of one size (the last one padded), so that an image does
        not depend on how many others come along. Out of memory halves the batch and begins again:
        all images of a call are of one batch size, which their record names.

        Returns:
            One (s, s, 3) float32 in [0, 255] a job; meaningful inside its region.

        Raises:
            ShapeError: a window is not native_px wide and high.
            TransientError: memory does not hold even one window now.
        """
        for job in jobs:
            if job.region.shape != (self.native_px, self.native_px):
                raise ShapeError(
                    f"Expected windows of {self.native_px} px, but got {job.region.shape}"
                )
        while True:
            try:
                return self._paint_all(jobs)
            except RuntimeError as exc:
                if not is_out_of_memory(exc):
                    raise
                if self.device_batch == 1:
                    raise self._too_full() from exc
                self.device_batch //= 2

    def _too_full(self) -> TransientError:
        """What to say where not one window fits."""
        full, instead = ("the GPU", ", or run with device='cpu'") if self.device == "cuda" else (
            "this machine's memory", ""
        )  # fmt: skip
        return TransientError(
            f"Expected room to paint one window of {self.native_px} px, but {full} is full; end "
            f"what else uses it and run again, what is done is kept{instead}"
        )

    def _paint_all(self, jobs: Sequence[PaintJob]) -> list[NDArray[np.float32]]:
        """All jobs, those of equal settings together."""
        painted: dict[int, NDArray[np.float32]] = {}
        for settings in dict.fromkeys(job.settings for job in jobs):
            same = [i for i, job in enumerate(jobs) if job.settings == settings]
            for start in range(0, len(same), self.device_batch):
                now = same[start : start + self.device_batch]
                painted |= zip(now, self._paint_batch([jobs[i] for i in now]), strict=True)
        return [painted[i] for i in range(len(jobs))]

    def reconstructed(self, windows: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Each (s, s, 3) window as the autoencoder alone gives it back, float32 in [0, 255].

        Equal windows are decoded once; in device batches of one size, as `paint`.
        """
        import torch

        vae = self._pipeline.vae
        keys = [window.tobytes() for window in windows]
        distinct = list(dict(zip(keys, windows, strict=True)).items())
        found: dict[bytes, NDArray[np.float32]] = {}
        for start in range(0, len(distinct), self.device_batch):
            part = distinct[start : start + self.device_batch]
            with torch.inference_mode():
                modes = [self._mode(window) for _, window in part]
                modes += [modes[-1]] * (self.device_batch - len(part))
                again = vae.decode(torch.cat(modes)).sample[: len(part)].float().cpu()
            values = (again.permute(0, 2, 3, 1).numpy() + 1) * 127.5
            found |= zip((key for key, _ in part), values.astype(np.float32), strict=True)
        return [found[key] for key in keys]

    def _mode(self, window_rgb: NDArray[np.uint8]) -> "torch.Tensor":
        """The most likely latents of a window, of the encoding that `paint` asks for too."""
        image = self._pipeline.image_processor.preprocess(_unit_range([window_rgb]))
        latents: torch.Tensor = self._pipeline.vae.encode(
            image.to(self.device, self._pipeline.vae.dtype)
        ).latent_dist.mode()
        return latents

    def _paint_batch(self, jobs: Sequence[PaintJob]) -> list[NDArray[np.float32]]:
        """One diffusers call on a full device batch; padding repeats the last job."""
        import torch

        padded = [*jobs, *[jobs[-1]] * (self.device_batch - len(jobs))]
        strength, guidance_scale, steps = jobs[0].settings
        cell = int(self._pipeline.vae_scale_factor)
        masks = np.stack([latent_mask(job.region, cell) for job in padded]).astype(np.float32)
        with torch.inference_mode():
            output = self._pipeline(
                prompt_embeds=self._embedded([job.prompt for job in padded]),
                negative_prompt_embeds=self._embedded([job.negative_prompt for job in padded]),
                image=_unit_range([job.window_rgb for job in padded]),
                mask_image=torch.from_numpy(masks)[:, None],
                height=self.native_px,
                width=self.native_px,
                strength=max(strength, 1.0 / steps),
                guidance_scale=guidance_scale,
                num_inference_steps=steps,
                generator=[torch.Generator("cpu").manual_seed(job.seed) for job in padded],
                output_type="np",
            ).images
        return [np.asarray(output[i] * 255.0, dtype=np.float32) for i in range(len(jobs))]

    def _embedded(self, prompts: Sequence[str]) -> "torch.Tensor":
        """Prompt embeddings (n, tokens, width), each distinct prompt encoded once."""
        import torch

        for prompt in dict.fromkeys(prompts):
            if prompt not in self._prompts:
                embedding, _ = self._pipeline.encode_prompt(
                    prompt, self._pipeline.device, 1, do_classifier_free_guidance=False
                )
                self._prompts[prompt] = embedding
        return torch.cat([self._prompts[prompt] for prompt in prompts])
