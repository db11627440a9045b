"""Adapting the tiny set to a plant: what moves, what a kill changes, what is written down."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.records import SOUND
from tasks.domain.shapes import DefectShape
from tasks.factory.styles import DEMO_PLANT
from tasks.factory.windows import window_samples
from tasks.models.adapter import LORA, WORD, merge_adapter
from tasks.models.inpainter import Inpainter, PaintJob, load_pipeline
from tasks.models.model_set import BUNDLED
from tasks.models.training import plant
from tasks.models.training.adaptation import Recipe, fit, kept_step, trainable, with_tokens
from tasks.models.training.inpainter import as_tokens, diffusion_loss, encoded
from tasks.models.training.plant import Budget, PlantTraining, adapt_pipeline
from tasks.models.training.plant_samples import (
    Augmentation,
    PlantWindows,
    Wording,
    plant_samples,
)

BASE = BUNDLED["tiny"] / "inpainter"
WORDS = {"crack": "fine crack in the weld bead", "porosity": "cluster of pores in the weld bead"}
SOUND_WORDS = "sound weld bead with regular ripples"
SHAPES = [
    DefectShape(length_px=24, width_px=3, angle_deg=20, stray=0.05, parts=1),
    DefectShape(length_px=8, width_px=7, angle_deg=0, stray=0.0, parts=3),
]
STILL = Augmentation(flip_rows=False, flip_columns=False, light=0.0)


def windows_of(seed: int, count: int) -> PlantWindows:
    """Windows of the demo plant, sound ones first, half of them cracks and pores."""
    made = list(window_samples(seed, 8 * count, style=DEMO_PLANT))
    found = [one for one in made if one.kind == SOUND][: count // 2]
    found += [one for one in made if one.kind in WORDS][: count - len(found)]
    return PlantWindows(
        images=np.stack([one.image_rgb for one in found]),
        surfaces=np.stack([one.bead_mask for one in found]),
        defects=np.stack([one.defect_mask for one in found]),
        kinds=[one.kind for one in found],
    )


LEARNING, JUDGING = windows_of(5, 16), windows_of(6, 6)


def base():
    return load_pipeline(BASE, torch.float32)


def adapt(work: Path, recipe: Recipe, budget: Budget, pipeline=None, log=print) -> PlantTraining:
    return adapt_pipeline(
        pipeline or base(), LEARNING, JUDGING, Wording(dict(WORDS), SOUND_WORDS), SHAPES,
        work=work, budget=budget, recipe=recipe, fair=Augmentation(), copies=1, log=log,
    )  # fmt: skip


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- kills and times -------------------------------------------------------------------------

SHORT = Recipe(batch=4, check_every=2, seed=3)
FIXED = Budget(2, 0.0, 6, 0.0)


class Killed(BaseException):
    """Stands for the end of the process: nothing in between may catch it."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> PlantTraining:
    return adapt(tmp_path_factory.mktemp("undisturbed"), SHORT, FIXED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "rank"),
    [("vae 2/2", 0), ("learning from", 0), ("adapt 2/6", 0), ("adapt 4/6", 0), ("adapt 4/6", 4)],
)
def test_a_killed_training_ends_in_the_weights_of_an_undisturbed_one(
    undisturbed, tmp_path, moment, rank
):
    recipe = replace(SHORT, lora_rank=rank)
    whole = undisturbed if rank == 0 else adapt(tmp_path / "whole", recipe, FIXED)

    def kill(line: str) -> None:
        if line.startswith(moment):
            raise Killed

    with pytest.raises(Killed):
        adapt(tmp_path / "work", recipe, FIXED, log=kill)
    again = adapt(tmp_path / "work", recipe, FIXED)
    assert again.adapted.losses == whole.adapted.losses
    assert again.adapted.best_step == whole.adapted.best_step
    assert again.adapted.weights.keys() == whole.adapted.weights.keys()
    for name, value in whole.adapted.weights.items():
        assert torch.equal(again.adapted.weights[name], value), name
    assert hashes(again.folder) == hashes(whole.folder)


@pytest.mark.slow
def test_steps_are_decided_once_whatever_the_machine_does_later(tmp_path, monkeypatch):
    budget = Budget(None, 1.0, None, 2.0)
    monkeypatch.setattr(plant, "_seconds", lambda step: 0.5)
    first = adapt(tmp_path, SHORT, budget)
    assert (first.decoder_steps, first.adapted.steps) == (2, 4)
    monkeypatch.setattr(plant, "_seconds", lambda step: 0.01)
    (tmp_path / "inpainter.pt").unlink()
    again = adapt(tmp_path, SHORT, budget)
    assert (again.decoder_steps, again.adapted.steps) == (2, 4)


@pytest.mark.slow
def test_measuring_the_pace_leaves_no_trace_in_the_weights(tmp_path):
    """A resumed training does not measure again: what measuring changed would set it apart."""
    measured = adapt(tmp_path / "measured", SHORT, Budget(None, 1e-6, None, 1e-6))
    told = adapt(tmp_path / "told", SHORT, Budget(1, 0.0, 1, 0.0))
    assert (measured.decoder_steps, measured.adapted.steps) == (1, 1)
    assert hashes(measured.folder) == hashes(told.folder)


def test_weights_that_diverge_at_once_are_not_kept(tmp_path):
    pipeline = base()
    before = {k: v.clone() for k, v in pipeline.unet.state_dict().items()}
    recipe = Recipe(batch=4, check_every=1, learning_rate=1e30)
    trained = adapt(tmp_path, recipe, Budget(0, 0.0, 20, 0.0), pipeline)
    assert trained.adapted.best_step == 0
    assert trained.adapted.steps <= 5
    for name, value in pipeline.unet.state_dict().items():
        assert torch.equal(value, before[name].half()), name


# --- LoRA ------------------------------------------------------------------------------------

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


# --- words -----------------------------------------------------------------------------------


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


# --- the step that is kept -------------------------------------------------------------------


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


# --- samples ---------------------------------------------------------------------------------


def samples(fair: Augmentation, copies: int = 1, seed: int = 0, windows: PlantWindows = LEARNING):
    wording = Wording(dict(WORDS), SOUND_WORDS, {kind: f"<{kind}>" for kind in WORDS})
    return list(plant_samples(windows, wording, SHAPES, fair, copies, seed))


TURNED = Augmentation(quarter_turns=True)


def test_a_region_covers_its_defect_and_a_sound_one_lies_in_the_surface():
    surfaces = PlantWindows(  # the surface as image: it is turned as the window is
        np.repeat(np.where(LEARNING.surfaces, 200, 0)[..., None], 3, axis=3).astype(np.uint8),
        LEARNING.surfaces, LEARNING.defects, LEARNING.kinds,
    )  # fmt: skip
    kinds = list(LEARNING.kinds) * 6
    for kind, one in zip(kinds, samples(TURNED, 6, windows=surfaces), strict=True):
        surface = one.image[..., 0] > 0
        assert one.region.any()
        assert not (one.region & ~(surface | one.defect)).any()
        if kind == SOUND:
            assert not one.defect.any()
        else:
            assert one.defect.any()
            assert not (one.defect & ~one.region).any()


def test_a_mask_turns_with_its_image():
    images = np.full(LEARNING.images.shape, 60, dtype=np.uint8)
    images[LEARNING.defects] = 180
    marked = PlantWindows(images, LEARNING.surfaces, LEARNING.defects, LEARNING.kinds)
    for one in samples(TURNED, 6, windows=marked):
        assert np.array_equal(one.image[..., 0] > one.image.min(), one.defect)


def test_about_85_in_100_captions_name_the_token_and_no_sound_one_does():
    made = samples(STILL, 60)
    kinds = np.array(list(LEARNING.kinds) * 60)
    captions = np.array([one.caption for one in made])
    assert set(captions[kinds == SOUND]) == {SOUND_WORDS}
    for kind, words in WORDS.items():
        own = captions[kinds == kind]
        assert set(own) == {f"{words} <{kind}>", f"<{kind}>", words}
    defects = captions[kinds != SOUND]
    token = np.array(["<" in caption for caption in defects])
    assert len(defects) == 480
    assert abs(token.mean() - 0.85) < 0.05
    words = np.array([caption.startswith("<") for caption in defects])
    assert abs(words.mean() - 0.15) < 0.05


def test_only_fair_changes_are_made():
    for one, image in zip(samples(STILL), LEARNING.images, strict=True):
        assert np.array_equal(one.image, image)
    down = replace(STILL, flip_rows=True)
    seen = set()
    for one, image in zip(samples(down, 4), np.tile(LEARNING.images, (4, 1, 1, 1)), strict=True):
        forms = {"as it is": image, "upside down": image[::-1]}
        found = [name for name, form in forms.items() if np.array_equal(one.image, form)]
        assert found
        seen.add(found[0])
    assert seen == {"as it is", "upside down"}


def test_samples_are_decided_by_the_seed():
    first, same, other = (samples(TURNED, 2, seed) for seed in (1, 1, 2))
    for a, b in zip(first, same, strict=True):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.region, b.region)
        assert a.caption == b.caption
    assert any(not np.array_equal(a.image, b.image) for a, b in zip(first, other, strict=True))
    half = len(first) // 2
    assert any(
        not np.array_equal(a.region, b.region)
        for a, b in zip(first[:half], first[half:], strict=True)
    )


# --- learning --------------------------------------------------------------------------------


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
