"""LoRA on Stable Diffusion 1.5 at full size, random weights: time, memory, and the way back."""

import resource
import time

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from full_size import write_inpainter

from tasks.domain.shapes import DefectShape
from tasks.models.adapter import LORA, WORD
from tasks.models.inpainter import load_pipeline
from tasks.models.training.adaptation import Recipe
from tasks.models.training.plant import Budget, adapt_pipeline
from tasks.models.training.plant_samples import Augmentation, PlantWindows, Wording

pytestmark = pytest.mark.bench

STEPS = 20
VRAM_LIMIT_GB = 10.0
SIDE_PX = 512


def _windows(count: int) -> PlantWindows:
    rng = np.random.default_rng(3)
    defects = np.zeros((count, SIDE_PX, SIDE_PX), dtype=bool)
    defects[::2, 200:300, 240:260] = True
    return PlantWindows(
        images=rng.integers(60, 190, (count, SIDE_PX, SIDE_PX, 3), dtype=np.uint8),
        surfaces=np.ones((count, SIDE_PX, SIDE_PX), dtype=bool),
        defects=defects,
        kinds=["crack" if i % 2 == 0 else "sound" for i in range(count)],
    )


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def test_twenty_steps_of_lora_fit_a_small_gpu_and_load_in_plain_diffusers(tmp_path):
    folder = write_inpainter(tmp_path)
    pipeline = load_pipeline(folder, torch.float32)
    weights_gb = sum(
        p.numel() * 4 / 2**30
        for part in (pipeline.unet, pipeline.text_encoder, pipeline.vae)
        for p in part.parameters()
    )
    before = {k: v.clone() for k, v in list(pipeline.unet.state_dict().items())[::40]}
    loaded_gb = _peak_gb()
    started = time.monotonic()
    trained = adapt_pipeline(
        pipeline, _windows(4), _windows(2), Wording({"crack": "crack in the surface"}, "sound"),
        [DefectShape(length_px=100, width_px=10, angle_deg=0, stray=0.1, parts=1)],
        work=tmp_path / "work", budget=Budget(0, 0.0, STEPS, 0.0),
        recipe=Recipe(batch=1, lora_rank=16, check_every=STEPS), fair=Augmentation(), copies=1,
    )  # fmt: skip
    seconds = time.monotonic() - started
    moving = sum(p.numel() for p in pipeline.unet.parameters() if p.requires_grad)
    # On a GPU: the same float32 weights, the factors with their gradients, moments and averages,
    # and what the step adds, at most what it added here.
    vram_gb = weights_gb + moving * 4 * 6 / 2**30 + max(0.0, _peak_gb() - loaded_gb)
    print(f"\nseconds a step {trained.adapted.seconds_per_step:.1f}, in all {seconds:.0f} s")
    print(f"peak memory {_peak_gb():.1f} GB, of it weights {weights_gb:.1f} GB")
    print(f"LoRA weights {moving / 1e6:.1f} M; VRAM budget at batch 1 {vram_gb:.1f} GB")
    assert vram_gb <= VRAM_LIMIT_GB
    names = {f"{k}": v for k, v in pipeline.unet.state_dict().items()}
    for name, value in before.items():
        key = (
            name
            if name in names
            else name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias")
        )
        assert torch.equal(names[key], value), name
    plain = StableDiffusionInpaintPipeline.from_pretrained(
        folder, dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    plain.load_lora_weights(trained.folder, weight_name=LORA)
    plain.load_textual_inversion(trained.folder, weight_name=WORD.format(0))
    assert "<crack>" in plain.tokenizer.get_vocab()
    factors = [n for n, _ in plain.unet.named_parameters() if "lora_" in n]
    assert len(factors) == len([n for n, _ in pipeline.unet.named_parameters() if "lora_" in n])
    mine = dict(pipeline.unet.named_parameters())
    theirs = dict(plain.unet.named_parameters())
    worst = max(
        float((theirs[n] - mine[n.replace("default_0", "default")]).abs().max()) for n in factors
    )
    assert worst < 1e-2  # half precision on disk
