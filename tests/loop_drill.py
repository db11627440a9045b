"""The loop drill: a generator that learns from its own output, generation after generation.

In every generation three arms learn for as many steps from as many windows, which none has seen
before: with the guard `off` from what they painted themselves, at the `floor` from as many fresh
real defects as own ones, and with the guard `on` from fresh real defects alone. Each time they then
answer the same questions, about windows that no arm ever learns from, twice, with two seeds. The
figures are of these answers (`drill_figures`). Everything is kept in a folder: a drill that was
killed goes on where it stopped.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from drill_figures import Answers, Ground, figures, write_chart, write_strip

from tasks.domain.planning import default_region, seed_for
from tasks.domain.region import draw_region
from tasks.factory.captions import PROMPTS
from tasks.factory.render import TRAINED_KINDS
from tasks.factory.styles import DEMO_PLANT
from tasks.factory.windows import WindowSample, window_samples
from tasks.models.inpainter import Inpainter, PaintJob, load_pipeline
from tasks.models.model_set import open_model_set
from tasks.models.training.adaptation import Recipe, fit, trainable
from tasks.models.training.inpainter import Sample, encoded, training_region

OWN_SHARE = {"off": 1.0, "floor": 0.5, "on": 0.0}
GROUND_SEED, FRESH_SEED, ASKED_SEED, EDITED_SEED = 4_000_000, 5_000_000, 6_000_000, 7_000_000
SIDE_PX = 64


@dataclass(frozen=True)
class Drill:
    """How large it is: questions asked, windows learned from a generation, real defects beside."""

    generations: int = 5
    questions: int = 42
    windows: int = 72
    denoising_steps: int = 12
    steps: int = 60
    batch: int = 16
    learning_rate: float = 3e-4
    real: int = 240


@dataclass(frozen=True)
class Questions:
    """Sound windows with the region and kind of the defect that each is to get."""

    sounds: list[WindowSample]
    regions: np.ndarray
    kinds: list[str]

    @classmethod
    def of(cls, seed: int, count: int) -> "Questions":
        """`count` windows of the plant, kinds in turn."""
        sounds = list(window_samples(seed, count, style=DEMO_PLANT, sound_share=1.0))
        kinds = [TRAINED_KINDS[i % len(TRAINED_KINDS)] for i in range(count)]
        regions = [
            draw_region(one.bead_mask, default_region(kind), np.random.default_rng(i), SIDE_PX)
            for i, (one, kind) in enumerate(zip(sounds, kinds, strict=True))
        ]
        return cls(sounds, np.stack(regions), kinds)


def run_drill(folder: Path, drill: Drill, say=print) -> dict[str, list[dict]]:
    """The figures of every generation by arm; chart and strip in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ground = Ground.of(_real(drill.real, GROUND_SEED))
    found, shown = {}, {}
    for arm in OWN_SHARE:
        found[arm], shown[arm] = [], []
        for generation, answers in enumerate(_generations(folder / arm, drill, arm)):
            found[arm].append(figures(answers, ground))
            shown[arm].append(answers)
            say(f"{arm} {generation}: " + ", ".join(
                f"{name} {value['value']:.3f}" for name, value in found[arm][-1].items()
            ))  # fmt: skip
    (folder / "drill.json").write_text(json.dumps({"drill": asdict(drill), **found}, indent=1))
    write_chart(folder / "drill.svg", found)
    write_strip(folder / "drill.png", shown)
    return found


def _generations(folder: Path, drill: Drill, arm: str) -> Iterator[Answers]:
    """What each generation answers, the first one being the set as it is shipped."""
    folder.mkdir(exist_ok=True)
    models = open_model_set("tiny")
    pipeline = load_pipeline(models.path_of(models.inpainter), torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    asked = Questions.of(ASKED_SEED, drill.questions)
    for generation in range(drill.generations + 1):
        place = folder if generation else folder.parent  # all arms begin with the same
        images = _painted(place / f"answers{generation}.npz", pipeline, asked, 2, drill)
        yield Answers(images, asked.regions, asked.kinds)
        if generation < drill.generations:
            samples = _learned_from(folder, pipeline, drill, generation, OWN_SHARE[arm])
            _learn(pipeline, samples, folder / f"learned{generation}.pt", drill, generation)


def _painted(path: Path, pipeline, asked: Questions, seeds: int, drill: Drill) -> np.ndarray:
    """(n, seeds, s, s, 3) uint8: the questions answered, each by so many seeds; kept in a file."""
    if not path.exists():
        pipeline.unet.eval()
        model = Inpainter(pipeline, "cpu", torch.float32)
        each = [(i, seed) for i in range(len(asked.kinds)) for seed in range(seeds)]
        jobs = [_job(asked, i, seed, drill.denoising_steps) for i, seed in each]
        windows = np.clip(np.rint(np.stack(model.paint(jobs))), 0, 255)
        before = np.repeat(np.stack([one.image_rgb for one in asked.sounds]), seeds, axis=0)
        inside = np.repeat(asked.regions, seeds, axis=0)[..., None]
        whole = np.where(inside, windows, before).astype(np.uint8)
        np.savez_compressed(path, images=whole.reshape(-1, seeds, *whole.shape[1:]))
    with np.load(path, allow_pickle=False) as kept:
        return kept["images"]


def _job(asked: Questions, index: int, seed: int, steps: int) -> PaintJob:
    """One question, with the set's own strength and guidance."""
    defaults, kind = open_model_set("tiny").defaults, asked.kinds[index]
    return PaintJob(
        window_rgb=asked.sounds[index].image_rgb, region=asked.regions[index],
        prompt=PROMPTS[kind], negative_prompt="", seed=seed_for(0, str(index), kind, seed),
        strength=defaults.strength, guidance_scale=defaults.guidance_scale, steps=steps,
    )  # fmt: skip


def _real(count: int, seed: int) -> list[WindowSample]:
    """Real defects of the plant."""
    return list(window_samples(seed, count, style=DEMO_PLANT, sound_share=0.0))


def _learned_from(
    folder: Path, pipeline, drill: Drill, generation: int, own_share: float
) -> list[Sample]:
    """What the next generation learns from: its own output, fresh real defects, or both."""
    rng = np.random.default_rng(generation)
    count = round(own_share * drill.windows)
    samples = []
    if count:
        edited = Questions.of(EDITED_SEED + generation * 10_000, count)
        images = _painted(folder / f"edited{generation}.npz", pipeline, edited, 1, drill)[:, 0]
        for i, sound in enumerate(edited.sounds):
            region = training_region(sound.bead_mask, edited.regions[i], rng)
            samples.append(Sample(images[i], region, edited.regions[i], PROMPTS[edited.kinds[i]]))
    for one in _real(drill.windows - count, FRESH_SEED + generation * 10_000):
        region = training_region(one.bead_mask, one.defect_mask, rng)
        samples.append(Sample(one.image_rgb, region, one.defect_mask, PROMPTS[one.kind]))
    return samples


def _learn(
    pipeline, samples: list[Sample], checkpoint: Path, drill: Drill, generation: int
) -> None:
    """Fine-tune the pipeline on the samples, as an adaptation does; all weights, in place."""
    latents = encoded(pipeline.vae, pipeline.tokenizer, samples, batch=16)
    recipe = Recipe(
        batch=drill.batch, learning_rate=drill.learning_rate, sound_share=0.0,
        check_every=drill.steps, seed=generation,
    )  # fmt: skip
    model = trainable(pipeline, recipe, 0)
    fit(
        pipeline, model, latents, torch.zeros(len(samples), dtype=torch.bool), latents, checkpoint,
        recipe, steps=drill.steps, log=lambda _: None,
    )  # fmt: skip
