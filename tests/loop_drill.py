"""The loop drill: a generator that learns from its own output, generation after generation.

Every generation paints the same sound windows twice, with two seeds, and then learns from what it
has painted: with the guard off from that alone, with it on from as many windows of which half are
real defects that no generation saw before. Steps, windows and batch are equal. Everything is kept
in a folder: a drill that was killed goes on where it stopped.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

from tasks.charts import INK, KEPT, LIMIT, STYLE
from tasks.domain.bootstrap import Estimate
from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.drift import divergence, spread
from tasks.domain.information import centred, clusters
from tasks.domain.kid import kid
from tasks.domain.planning import default_region, seed_for
from tasks.domain.region import draw_region
from tasks.factory.captions import PROMPTS
from tasks.factory.render import TRAINED_KINDS
from tasks.factory.styles import DEMO_PLANT
from tasks.factory.windows import WindowSample, window_samples
from tasks.models.inpainter import Inpainter, PaintJob, load_pipeline
from tasks.models.loading import embedder
from tasks.models.model_set import open_model_set
from tasks.models.training.adaptation import Recipe, fit, trainable
from tasks.models.training.inpainter import Sample, encoded

REAL_SEED, FRESH_SEED, SOUND_SEED = 4_000_000, 5_000_000, 6_000_000
SIDE_PX, DRAWS = 64, 500


@dataclass(frozen=True)
class Drill:
    """How large it is; `windows` are painted twice each, in every generation."""

    generations: int = 5
    windows: int = 24
    steps: int = 60
    batch: int = 16
    learning_rate: float = 3e-4
    real: int = 96


@dataclass(frozen=True)
class Painted:
    """images (n, 2, s, s, 3) by two seeds, of the sound windows with their regions and kinds."""

    images: np.ndarray
    regions: np.ndarray
    kinds: list[str]


def run_drill(folder: Path, drill: Drill, say=print) -> dict[str, list[dict]]:
    """The figures of every generation by arm, `off` and `on`; chart and strip in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    real = _real(drill.real, REAL_SEED)
    found, shown = {}, {}
    for arm in ("off", "on"):
        found[arm], shown[arm] = [], []
        for generation, painted in enumerate(_generations(folder / arm, drill, arm == "on")):
            found[arm].append(figures(painted, real))
            shown[arm].append(painted)
            say(f"{arm} {generation}: " + ", ".join(
                f"{name} {value['value']:.3f}" for name, value in found[arm][-1].items()
            ))  # fmt: skip
    (folder / "drill.json").write_text(json.dumps({"drill": asdict(drill), **found}, indent=1))
    write_chart(folder / "drill.svg", found)
    write_strip(folder / "drill.png", shown)
    return found


def _generations(folder: Path, drill: Drill, is_guarded: bool):
    """What each generation paints, the first one by the set as it is shipped."""
    folder.mkdir(exist_ok=True)
    models = open_model_set("tiny")
    pipeline = load_pipeline(models.path_of(models.inpainter), torch.float32)
    for generation in range(drill.generations + 1):
        painted = _painted(folder / f"painted{generation}.npz", pipeline, drill)
        yield painted
        if generation < drill.generations:
            windows = _learned_from(painted, drill, generation, is_guarded)
            _learn(pipeline, windows, folder / f"learned{generation}.pt", drill, generation)


def _painted(path: Path, pipeline, drill: Drill) -> Painted:
    """The sound windows painted, two seeds each; the same questions in every generation."""
    sounds = [
        one for one in window_samples(SOUND_SEED, 4 * drill.windows, style=DEMO_PLANT)
        if one.kind == "sound"
    ][: drill.windows]  # fmt: skip
    kinds = [TRAINED_KINDS[i % len(TRAINED_KINDS)] for i in range(len(sounds))]
    regions = np.stack(
        [
            draw_region(one.bead_mask, default_region(kind), np.random.default_rng(i), SIDE_PX)
            for i, (one, kind) in enumerate(zip(sounds, kinds, strict=True))
        ]
    )
    if not path.exists():
        pipeline.unet.eval()
        model = Inpainter(pipeline, "cpu", torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        jobs = [
            _job(sounds[i], regions[i], kinds[i], i, seed)
            for i in range(len(sounds)) for seed in range(2)
        ]  # fmt: skip
        windows = np.stack(model.paint(jobs))
        before = np.repeat(np.stack([one.image_rgb for one in sounds]), 2, axis=0)
        inside = np.repeat(regions, 2, axis=0)[..., None]
        whole = np.where(inside, np.clip(np.rint(windows), 0, 255), before).astype(np.uint8)
        np.savez_compressed(path, images=whole.reshape(len(sounds), 2, *whole.shape[1:]))
    with np.load(path, allow_pickle=False) as kept:
        return Painted(kept["images"], regions, kinds)


def _job(sound: WindowSample, region: np.ndarray, kind: str, window: int, seed: int) -> PaintJob:
    """One question, with the set's own strength and guidance."""
    defaults = open_model_set("tiny").defaults
    return PaintJob(
        window_rgb=sound.image_rgb, region=region, prompt=PROMPTS[kind], negative_prompt="",
        seed=seed_for(0, str(window), kind, seed), strength=defaults.strength,
        guidance_scale=defaults.guidance_scale, steps=25,
    )  # fmt: skip


def _real(count: int, seed: int) -> list[WindowSample]:
    """Real defects of the plant."""
    return list(window_samples(seed, count, style=DEMO_PLANT, sound_share=0.0))


def _learned_from(
    painted: Painted, drill: Drill, generation: int, is_guarded: bool
) -> list[Sample]:
    """What the next generation learns from: its own output, or half of it and fresh real ones."""
    own = [
        Sample(image, painted.regions[i], painted.regions[i], PROMPTS[painted.kinds[i]])
        for i, pair in enumerate(painted.images) for image in pair
    ]  # fmt: skip
    if not is_guarded:
        return own
    half = len(own) // 2
    fresh = _real(len(own) - half, FRESH_SEED + generation * 10_000)
    return own[::2][:half] + [
        Sample(
            one.image_rgb, ndimage.binary_dilation(one.defect_mask, iterations=2),
            one.defect_mask, PROMPTS[one.kind],
        )
        for one in fresh
    ]  # fmt: skip


def _learn(pipeline, samples: list[Sample], checkpoint: Path, drill: Drill, generation: int):
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


def figures(painted: Painted, real: list[WindowSample]) -> dict[str, dict]:
    """What a generation's output looks like.

    pair: grey levels by which two seeds differ in the region, and apart: the cosine distance of
    their windows (diversity of the answers). spread: of the window embeddings of a kind, mean over
    kinds (the sound windows' own variety is in it). divergence: bits between clusters of these and
    of real defects. kid: distance to real defects (quality).
    """
    flat = painted.images.reshape(-1, *painted.images.shape[2:])
    models = open_model_set("tiny")
    with embedder("tiny", models.fingerprint, "cpu") as model:
        made = model.embed(list(flat))
        known = model.embed([one.image_rgb for one in real])
    owners = np.repeat([str(i) for i in range(len(painted.images))], 2)
    kinds = np.repeat(painted.kinds, 2)
    names = clusters(np.concatenate([known, made]))
    groups = np.array([f"real {i}" for i in range(len(known))])
    bits = divergence((names[: len(known)], groups), (names[len(known) :], owners), DRAWS)
    distance = kid(known, made, groups, owners, np.array([one.kind for one in real]), kinds)
    return {
        "pair": pair_distance(painted).model_dump(),
        "apart": mean_of(1 - (made[::2] * made[1::2]).sum(axis=1)).model_dump(),
        "spread": kind_spread(made, kinds, owners).model_dump(),
        "divergence": bits.model_dump(),
        "kid": Estimate(value=distance, low=distance, high=distance).model_dump(),
    }


def pair_distance(painted: Painted) -> Estimate:
    """Mean |a - b| over the region, of the two seeds' answers; resampled over windows."""
    apart = np.abs(painted.images[:, 0].astype(float) - painted.images[:, 1]).mean(axis=-1)
    each = np.array([one[m].mean() for one, m in zip(apart, painted.regions, strict=True)])
    return mean_of(each)


def mean_of(each: np.ndarray) -> Estimate:
    """The mean over windows, and its interval."""
    (times,) = cluster_draws(DRAWS, 0, np.arange(len(each)))
    return centred(float(each.mean()), times @ each / times.sum(axis=1))


def kind_spread(rows: np.ndarray, kinds: np.ndarray, owners: np.ndarray) -> Estimate:
    """Spread of the rows of each kind, mean over kinds; resampled over windows."""

    def measured(picks: np.ndarray) -> float:
        parts = [spread(rows[picks[kinds[picks] == kind]]) for kind in np.unique(kinds)]
        return float(np.mean([one for one in parts if one is not None]))

    (times,) = cluster_draws(DRAWS, 0, owners)
    drawn = [measured(np.repeat(np.arange(len(rows)), one.astype(int))) for one in times]
    return centred(measured(np.arange(len(rows))), np.array(drawn))


TITLES = {
    "pair": "two seeds differ by, grey levels", "apart": "two seeds' cosine distance",
    "spread": "spread of a kind's embeddings",
    "divergence": "divergence from real, bits", "kid": "KID to real defects",
}  # fmt: skip
COLOURS = {"off": LIMIT, "on": KEPT}


def write_chart(path: Path, found: dict[str, list[dict]]) -> None:
    """The figures over generations, both arms, 95 % intervals."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 2.7), layout="constrained")
        for axes, (name, title) in zip(
            figure.subplots(1, len(TITLES)), TITLES.items(), strict=True
        ):
            for arm, rows in found.items():
                values = np.array(
                    [[one[name][part] for part in ("value", "low", "high")] for one in rows]
                )
                steps = np.arange(len(values))
                axes.fill_between(steps, values[:, 1], values[:, 2], color=COLOURS[arm], alpha=0.15)
                axes.plot(steps, values[:, 0], "o-", color=COLOURS[arm], label=f"guard {arm}")
            axes.set_title(title, fontsize=9, loc="left", color=INK)
            axes.set_xlabel("generation")
            axes.set_xticks(range(len(found["off"])))
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        figure.axes[0].legend(frameon=False, fontsize=8)
        figure.savefig(path)
        figure.savefig(path.with_name("drill_chart.png"), dpi=120)


def write_strip(path: Path, shown: dict[str, list[Painted]], windows: int = 6) -> None:
    """Both answers to the first questions: a column a generation, the guard off above, on below."""
    rows = []
    for arm in shown.values():
        for i in range(min(windows, len(arm[0].images))):
            rows.append(np.concatenate([np.concatenate(list(p.images[i]), 1) for p in arm], 1))
        rows.append(np.full((6, rows[0].shape[1], 3), 255, np.uint8))
    Image.fromarray(np.concatenate(rows[:-1])).save(path)
