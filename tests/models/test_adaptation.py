"""Fine-tuning: new words, the step that is kept, and that it learns what it is shown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plant_training import SHAPES, SOUND_WORDS, STILL, WORDS, base

from tasks.domain.records import SOUND
from tasks.factory.styles import DEMO_PLANT
from tasks.factory.windows import window_samples
from tasks.models.inpainter import load_pipeline
from tasks.models.training.adaptation import Recipe, fit, kept_step, trainable, with_tokens
from tasks.models.training.inpainter import as_tokens, diffusion_loss, encoded
from tasks.models.training.plant_samples import (
    PlantWindows,
    Wording,
    plant_samples,
)


def test_a_kind_gets_a_token_begun_at_the_mean_of_its_words():
    pipeline, wording = base(), Wording(dict(WORDS), SOUND_WORDS)
    before = pipeline.text_encoder.get_input_embeddings().weight.detach().clone()
    with_tokens(pipeline, wording)
    after = pipeline.text_encoder.get_input_embeddings().weight
    assert len(after) == len(before) + len(WORDS) == len(pipeline.tokenizer)
    assert torch.equal(after[: len(before)], before)
    assert len(set(wording.tokens.values())) == len(WORDS)
    for kind, token in wording.tokens.items():
        ids = pipeline.tokenizer(WORDS[kind], add_special_tokens=False).input_ids
        new = pipeline.tokenizer(wording.full()[kind], add_special_tokens=False).input_ids
        assert new[:-1] == ids
        assert new[-1] == pipeline.tokenizer.convert_tokens_to_ids(token) >= len(before)
        assert torch.allclose(after[new[-1]], before[torch.tensor(ids)].mean(dim=0), atol=1e-6)


def test_a_kind_learned_before_gets_another_token():
    pipeline = base()
    first, second = Wording(dict(WORDS), SOUND_WORDS), Wording(dict(WORDS), SOUND_WORDS)
    with_tokens(pipeline, first)
    learned = pipeline.text_encoder.get_input_embeddings().weight.detach().clone()
    with_tokens(pipeline, second)
    assert not set(first.tokens.values()) & set(second.tokens.values())
    after = pipeline.text_encoder.get_input_embeddings().weight
    assert torch.equal(after[: len(learned)], learned)
    ids = as_tokens(pipeline.tokenizer, [second.full()["crack"], first.full()["crack"]])
    assert not torch.equal(ids[0], ids[1])


@pytest.mark.parametrize("kind", ["Crack", "deep crack", "Bindefehl_ü", "a/b", "ü"])
def test_any_name_of_a_kind_becomes_one_token_that_files_keep(kind, tmp_path):
    pipeline, wording = base(), Wording({kind: "fine crack"}, SOUND_WORDS)
    with_tokens(pipeline, wording)
    pipeline.save_pretrained(tmp_path)
    again = load_pipeline(tmp_path, torch.float32)
    for tokenizer in (pipeline.tokenizer, again.tokenizer):
        ids = tokenizer(wording.full()[kind], add_special_tokens=False).input_ids
        plain = tokenizer("fine crack", add_special_tokens=False).input_ids
        assert ids == [*plain, len(pipeline.tokenizer) - 1]


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ({}, 0),
        ({10: 1.0, 20: 0.5, 30: 0.2}, 30),
        ({10: 1.0, 20: 1.04, 30: 1.05}, 30),
        ({10: 1.0, 20: 1.06}, 10),
        ({10: 1.0, 20: 1.2, 30: 1.03}, 30),
        ({10: 1.0, 20: 0.9, 30: 0.98}, 20),
        ({30: 1.06, 10: 1.0, 20: 1.04}, 20),
        ({10: float("nan")}, 0),
        ({10: 1.0, 20: float("nan")}, 10),
    ],
)
def test_the_latest_step_on_the_plateau_is_kept(losses, kept):
    assert kept_step(losses) == kept


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=12), st.floats(1.06, 5))
def test_what_rises_above_the_plateau_is_never_kept(values, above):
    losses = dict(enumerate(values, start=1))
    kept = kept_step(losses)
    assert losses[kept] <= 1.05 * min(losses[step] for step in range(1, kept + 1))
    assert kept >= max(losses, key=lambda step: (losses[step] == min(values), step))
    later = {**losses, len(values) + 1: above * min(values)}
    assert kept_step(later) == kept


def square_windows(count: int) -> PlantWindows:
    """Sound windows, every second one with a bright green square on its bead."""
    sound = [one for one in window_samples(9, 8 * count, style=DEMO_PLANT) if one.kind == SOUND]
    images = np.stack([one.image_rgb for one in sound[:count]])
    defects = np.zeros(images.shape[:3], dtype=bool)
    defects[::2, 24:40, 24:40] = True
    images[defects] = (40, 240, 60)
    return PlantWindows(
        images, np.ones(defects.shape, dtype=bool), defects,
        ["crack" if index % 2 == 0 else SOUND for index in range(count)],
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 8])
def test_a_training_learns_what_it_is_shown(tmp_path, rank):
    pipeline, wording = base(), Wording({"crack": WORDS["crack"]}, SOUND_WORDS)
    windows = square_windows(16)
    with_tokens(pipeline, wording)
    latents = encoded(
        pipeline.vae, pipeline.tokenizer, plant_samples(windows, wording, SHAPES, STILL, 1, 0)
    )
    recipe = Recipe(batch=4, check_every=60, lora_rank=rank, learning_rate=3e-3 if rank else 3e-4)
    model = trainable(pipeline, recipe, len(wording.tokens))
    is_sound = torch.tensor([kind == SOUND for kind in windows.kinds])
    shown = torch.nonzero(~is_sound).ravel()
    empty = as_tokens(pipeline.tokenizer, [""])

    def loss() -> float:
        with torch.inference_mode():
            values = [
                diffusion_loss(
                    model, pipeline.scheduler, latents, shown, empty, 0.0,
                    torch.Generator().manual_seed(seed),
                )
                for seed in range(4)
            ]  # fmt: skip
        return float(torch.stack(values).mean())

    before = loss()
    fit(pipeline, model, latents, is_sound, latents, tmp_path / "w.pt", recipe, steps=60)
    after = loss()
    print(f"rank {rank}: loss {before:.4f} before, {after:.4f} after")
    assert after < 0.8 * before
