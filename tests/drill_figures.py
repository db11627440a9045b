"""What the loop drill's answers look like: figures with intervals, a chart, a strip of pictures."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.linear_model import LogisticRegression

from tasks.charts import INK, KEPT, LIMIT, STYLE
from tasks.domain.bootstrap import Estimate
from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.drift import divergence, spread
from tasks.domain.information import centred, clusters, plug_in_entropy
from tasks.domain.kid import kid
from tasks.factory.windows import WindowSample
from tasks.models.loading import embedder
from tasks.models.model_set import open_model_set

DRAWS = 500
TITLES = {
    "pair": "two seeds differ by, grey levels", "apart": "two seeds' cosine distance",
    "entropy": "entropy of the kinds seen, bits", "seen": "the asked kind is seen",
    "spread": "spread of a kind's embeddings", "divergence": "divergence from real, bits",
    "kid": "KID to real defects",
}  # fmt: skip
COLOURS = {"off": LIMIT, "floor": INK, "on": KEPT}


@dataclass(frozen=True)
class Answers:
    """images (n, 2, s, s, 3) by two seeds, with the regions and kinds that were asked for."""

    images: np.ndarray
    regions: np.ndarray
    kinds: list[str]


@dataclass(frozen=True)
class Ground:
    """Real defects: their embeddings, their kinds, and a probe that tells the kinds apart."""

    rows: np.ndarray
    kinds: np.ndarray
    probe: LogisticRegression

    @classmethod
    def of(cls, real: list[WindowSample]) -> "Ground":
        rows, kinds = embedded([one.image_rgb for one in real]), np.array([o.kind for o in real])
        return cls(rows, kinds, LogisticRegression(C=100.0, max_iter=2000).fit(rows, kinds))


def embedded(windows: list[np.ndarray]) -> np.ndarray:
    """(n, d) unit rows of windows."""
    with embedder("tiny", open_model_set("tiny").fingerprint, "cpu") as model:
        return model.embed(windows)


def figures(answers: Answers, ground: Ground) -> dict[str, dict]:
    """What a generation's answers look like.

    pair, apart: grey levels by which two seeds' answers differ in the region, and the cosine
    distance of their windows (variety of the answers to one question). entropy: of the kinds that a
    probe on real defects sees; seen: share of answers in which it sees the asked one. spread: of
    the windows' embeddings of a kind, mean over kinds (the sound windows' own variety is in it).
    divergence: bits between clusters of these and of real defects. kid: distance to real defects.
    """
    made = embedded(list(answers.images.reshape(-1, *answers.images.shape[2:])))
    owners = np.repeat([str(i) for i in range(len(answers.images))], 2)
    kinds = np.repeat(answers.kinds, 2)
    groups = np.array([f"real {i}" for i in range(len(ground.rows))])
    names = clusters(np.concatenate([ground.rows, made]))
    told = ground.probe.predict(made)
    distance = kid(ground.rows, made, groups, owners, ground.kinds, kinds)
    found = {
        "pair": pair_distance(answers),
        "apart": mean_of(1 - (made[::2] * made[1::2]).sum(axis=1)),
        "entropy": kind_entropy(told, owners),
        "seen": mean_of((told == kinds).reshape(-1, 2).mean(axis=1)),
        "spread": kind_spread(made, kinds, owners),
        "divergence": divergence(
            (names[: len(groups)], groups), (names[len(groups) :], owners), DRAWS
        ),
        "kid": Estimate(value=distance, low=distance, high=distance),
    }
    return {name: one.model_dump() for name, one in found.items()}


def pair_distance(answers: Answers) -> Estimate:
    """Mean |a - b| over the region, of the two seeds' answers; resampled over windows."""
    apart = np.abs(answers.images[:, 0].astype(float) - answers.images[:, 1]).mean(axis=-1)
    each = [one[inside].mean() for one, inside in zip(apart, answers.regions, strict=True)]
    return mean_of(np.array(each))


def mean_of(each: np.ndarray) -> Estimate:
    """The mean over windows, and its interval."""
    (times,) = cluster_draws(DRAWS, 0, np.arange(len(each)))
    return centred(float(each.mean()), times @ each / times.sum(axis=1))


def kind_entropy(told: np.ndarray, owners: np.ndarray) -> Estimate:
    """Plug-in entropy of the kinds seen, in bits; resampled over windows."""
    is_kind = (told[:, None] == np.unique(told)).astype(float)
    (times,) = cluster_draws(DRAWS, 0, owners)
    whole = float(plug_in_entropy(is_kind.sum(axis=0)[None])[0])
    return centred(whole, plug_in_entropy(times @ is_kind))


def kind_spread(rows: np.ndarray, kinds: np.ndarray, owners: np.ndarray) -> Estimate:
    """Spread of the rows of each kind, mean over kinds; resampled over windows."""

    def measured(picks: np.ndarray) -> float:
        parts = [spread(rows[picks[kinds[picks] == kind]]) for kind in np.unique(kinds)]
        return float(np.mean([one for one in parts if one is not None]))

    (times,) = cluster_draws(DRAWS, 0, owners)
    drawn = [measured(np.repeat(np.arange(len(rows)), one.astype(int))) for one in times]
    return centred(measured(np.arange(len(rows))), np.array(drawn))


def write_chart(path: Path, found: dict[str, list[dict]]) -> None:
    """The figures over generations, an arm a colour, 95 % intervals."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 5.4), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(2, 4).flat, TITLES.items(), strict=False):
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
        figure.axes[-1].set_axis_off()
        figure.savefig(path)
        figure.savefig(path.with_name("drill_chart.png"), dpi=110)


def write_strip(path: Path, shown: dict[str, list[Answers]], windows: int = 6) -> None:
    """Both answers to the first questions: two columns a generation, rows an arm."""
    rows = []
    for arm in shown.values():
        for i in range(min(windows, len(arm[0].images))):
            rows.append(np.concatenate([np.concatenate(list(a.images[i]), 1) for a in arm], 1))
        rows.append(np.full((6, rows[0].shape[1], 3), 255, np.uint8))
    Image.fromarray(np.concatenate(rows[:-1])).save(path)
