"""Adapters: what LoRA moves, and what plain diffusers makes of its files."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from plant_training import BASE, LEARNING, WORDS, adapt, base

from tasks.models.adapter import LORA, WORD, merge_adapter
from tasks.models.inpainter import Inpainter, PaintJob
from tasks.models.training.adaptation import Recipe
from tasks.models.training.plant import Budget

LORA_RECIPE = Recipe(batch=4, check_every=6, learning_rate=1e-2, lora_rank=4)


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    """A pipeline before and after six steps of LoRA, and its files."""
    pipeline = base()
    before = {
        part: {k: v.clone() for k, v in getattr(pipeline, part).state_dict().items()}
        for part in ("unet", "text_encoder", "vae")
    }
    work = tmp_path_factory.mktemp("lora")
    trained = adapt(work, LORA_RECIPE, Budget(0, 0.0, 6, 0.0), pipeline)
    return pipeline, before, trained


def test_lora_moves_its_factors_and_the_new_words_and_nothing_else(lora):
    pipeline, before, trained = lora
    after = {k.replace(".base_layer", ""): v for k, v in pipeline.unet.state_dict().items()}
    for name, value in before["unet"].items():
        assert torch.equal(after[name], value), name
    for name, value in before["vae"].items():
        assert torch.equal(pipeline.vae.state_dict()[name], value), name
    factors = {k: v for k, v in after.items() if "lora_B" in k}
    assert factors
    assert all(value.any() for value in factors.values())  # they begin at 0
    for name, value in pipeline.text_encoder.state_dict().items():
        old = before["text_encoder"][name]
        assert torch.equal(value[: len(old)], old), name
    table = pipeline.text_encoder.get_input_embeddings().weight
    tokens = trained.wording.tokens
    assert len(tokens) == len(WORDS)
    for kind, token in tokens.items():
        words = pipeline.tokenizer(WORDS[kind], add_special_tokens=False).input_ids
        begun = table[torch.tensor(words)].mean(dim=0)
        assert (table[pipeline.tokenizer.convert_tokens_to_ids(token)] - begun).abs().max() > 1e-3


def painted(pipeline, prompt: str) -> np.ndarray:
    region = np.zeros((64, 64), dtype=bool)
    region[20:44, 20:44] = True
    job = PaintJob(LEARNING.images[0], region, prompt, "", 1, 0.7, 3.0, 10)
    pipeline.set_progress_bar_config(disable=True)
    inpainter = Inpainter(pipeline, "cpu", torch.float32)
    inpainter.device_batch = 1
    return inpainter.paint([job])[0][region]


def test_an_adapter_paints_in_plain_diffusers_what_it_paints_merged(lora):
    trained_pipeline, _, trained = lora
    prompt = trained.wording.full()["crack"]
    plain = StableDiffusionInpaintPipeline.from_pretrained(
        BASE, dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    plain.load_lora_weights(trained.folder, weight_name=LORA)
    for index in range(len(WORDS)):
        plain.load_textual_inversion(trained.folder, weight_name=WORD.format(index))
    merged = base()
    merge_adapter(merged, trained.folder)
    expected = painted(merged, prompt)
    assert np.abs(painted(plain, prompt) - expected).max() < 0.5
    assert np.abs(painted(trained_pipeline, prompt) - expected).max() < 2  # halves on disk
    assert np.abs(painted(base(), prompt) - expected).max() > 10
