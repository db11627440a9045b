"""Drift: how far what a version added lies from the real defects, and what it was grown from.

JSD(P, Q) = H((P + Q) / 2) - (H(P) + H(Q)) / 2 in bits, in [0, 1]; 0 for equal distributions, 1 for
disjoint ones (Lin, IEEE Trans. Inf. Theory 1991). Measured of kinds; of the orientation of long
regions to the bead, in six bins of 30 degrees; of size, the region's share of the image, in
octaves; of clusters of window embeddings; beside real defects of the kinds that were asked for.
The plug-in of samples is too high: the bootstrap's own estimate of that bias is taken off, value' =
2 value - mean of draws (Efron & Tibshirani 1993, ch. 10). Whole sources are drawn with replacement.
Where fewer than 8 real defects show a measure, the first version stands in, and the report says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.domain.bootstrap import Estimate, estimate
from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.errors import BadInput
from tasks.domain.information import Floats, Names, clusters, plug_in_entropy
from tasks.domain.parameters import LoopParams
from tasks.domain.records import Record

MIN_ROWS = 8
ANGLE_BIN_DEG = 30.0
LOOP_FLOOR = 0.5  # of fresh real images, from generation 1 on
REAL = "real"


@dataclass(frozen=True)
class Looks:
    """What images look like: kind, source, window embedding (n, d), region's angle and share.

    The angle is nan where the region is not long, both are where it is not known.
    """

    kinds: Names
    groups: Names
    embedding: NDArray[np.float32]
    angle_deg: Floats
    share: Floats


@dataclass(frozen=True)
class Added:
    """What one version added: its images, their highest generation, and the run's real images.

    `sources` fed its run, of which no version before knew `fresh`. `asked` are the kinds it was
    grown for; empty where that is not known.
    """

    version: str
    looks: Looks
    generation: int
    fresh: int
    sources: int
    asked: frozenset[str] = frozenset()


class Divergence(Record):
    """One measure of one version; `reference` is `real`, or the version that stands in."""

    measure: str
    reference: str
    bits: Estimate
    rows: int
    reference_rows: int
    is_alarming: bool


class VersionDrift(Record):
    """The drift of what a version added.

    `spread` is the mean squared distance of its window embeddings to their mean, in [0, 1], beside
    `real_spread`; None with fewer than 2 rows. `fresh_share` is None where no run is known.
    """

    version: str
    added: int
    generation: int
    fresh_share: float | None
    is_stale: bool
    spread: float | None
    real_spread: float | None
    divergences: tuple[Divergence, ...]

    def alarms(self) -> list[str]:
        """What a person should look at, a sentence each."""
        said = [
            f"{self.version}: {one.measure} has drifted from {one.reference}: Jensen-Shannon "
            f"divergence {one.bits.text()}"
            for one in self.divergences
            if one.is_alarming
        ]
        if self.is_stale:
            said.append(
                f"{self.version}: {self.fresh_share or 0:.0%} of the real images it was grown from "
                f"are fresh (generation {self.generation}); grow from new real images"
            )
        return said


def js_divergence(first: Floats, second: Floats) -> Floats:
    """(...,) bits between counts (..., K) each; nan where one of them is empty."""
    p, q = (np.asarray(one, dtype=np.float64) for one in (first, second))
    totals = [one.sum(axis=-1, keepdims=True) for one in (p, q)]
    p, q = (one / np.where(n > 0, n, 1) for one, n in zip((p, q), totals, strict=True))
    bits = plug_in_entropy((p + q) / 2) - (plug_in_entropy(p) + plug_in_entropy(q)) / 2
    is_known = (totals[0] > 0)[..., 0] & (totals[1] > 0)[..., 0]
    return np.where(is_known, np.clip(bits, 0.0, 1.0), np.nan)


def divergence(
    reference: tuple[Names, Names], other: tuple[Names, Names], draws: int, seed: int = 0
) -> Estimate:
    """JSD of two samples with its interval.

    Args:
        reference, other: category and source of each row, one or more.

    Raises:
        BadInput: a side is empty.
    """
    (left, left_groups), (right, right_groups) = reference, other
    if not len(left) or not len(right):
        raise BadInput(f"Expected rows on both sides, but got {len(left)} and {len(right)}")
    names = np.unique(np.concatenate([left, right]))
    p, q = ((part[:, None] == names).astype(np.float64) for part in (left, right))
    times, other_times = cluster_draws(draws, seed, left_groups, right_groups)
    drawn = js_divergence(times @ p, other_times @ q)
    drawn = drawn[np.isfinite(drawn)]
    plug_in = float(js_divergence(p.sum(axis=0), q.sum(axis=0)))
    middle = float(drawn.mean()) if len(drawn) else plug_in
    value = float(np.clip(2 * plug_in - middle, 0.0, 1.0))
    return estimate(value, np.clip(drawn - middle + 2 * plug_in - middle, 0.0, 1.0))


def drift(
    real: Looks, versions: Sequence[Added], params: LoopParams, wanted: Sequence[str] | None = None
) -> tuple[VersionDrift, ...]:
    """The drift of each version.

    Args:
        real: the real defects.
        versions: the pool's first, then others, oldest first.
        wanted: measure these alone; None measures all.
    """
    labels = _categories(real, versions)
    found = []
    for i, one in enumerate(versions):
        if wanted is not None and one.version not in wanted:
            continue
        measured = (
            _measured(name, sides, real, versions, i, params) for name, sides in labels.items()
        )
        fresh = one.fresh / one.sources if one.sources else None
        floor = max(params.min_fresh_share, LOOP_FLOOR if one.generation else 0.0)
        found.append(
            VersionDrift(
                version=one.version,
                added=len(one.looks.kinds),
                generation=one.generation,
                fresh_share=fresh,
                is_stale=i > 0 and fresh is not None and fresh < floor,
                spread=spread(one.looks.embedding),
                real_spread=spread(real.embedding[_is_asked(real, one)]),
                divergences=tuple(told for told in measured if told is not None),
            )
        )
    return tuple(found)


def spread(rows: NDArray[np.float32]) -> float | None:
    """1 - |mean of unit rows|^2: their mean squared distance to the mean, in [0, 1]."""
    if len(rows) < 2:
        return None
    return float(np.clip(1 - (rows.mean(axis=0, dtype=np.float64) ** 2).sum(), 0.0, 1.0))


def _categories(real: Looks, versions: Sequence[Added]) -> dict[str, list[Names]]:
    """By measure, the category of each row: the real ones', then each version's; "" unknown."""
    sides = [real, *(one.looks for one in versions)]
    rows = [side.embedding for side in sides if len(side.embedding)]
    found = clusters(np.concatenate(rows)) if rows else np.zeros(0, dtype=np.str_)
    ends = np.cumsum([len(side.kinds) for side in sides])[:-1]
    return {
        "kind": [side.kinds for side in sides],
        "orientation": [_binned(np.floor((s.angle_deg + 90) / ANGLE_BIN_DEG) % 6) for s in sides],
        "size": [_binned(np.floor(np.log2(np.where(s.share > 0, s.share, np.nan)))) for s in sides],
        "embedding": [np.asarray(part, dtype=np.str_) for part in np.split(found, ends)],
    }


def _is_asked(real: Looks, version: Added) -> NDArray[np.bool_]:
    """(n,) whether each real image shows a kind that the version was grown for."""
    asked = sorted(version.asked) or np.unique(real.kinds)
    return np.isin(real.kinds, asked)


def _binned(values: Floats) -> Names:
    return np.array([f"{value:.0f}" if np.isfinite(value) else "" for value in values], np.str_)


def _measured(
    name: str,
    sides: Sequence[Names],
    real: Looks,
    versions: Sequence[Added],
    place: int,
    params: LoopParams,
) -> Divergence | None:
    """One measure of one version; None where it or every reference shows it too seldom."""
    groups = [real.groups, *(one.looks.groups for one in versions)]
    names = [REAL, *(one.version for one in versions)]
    known = [
        (part[part != ""], group[part != ""]) for part, group in zip(sides, groups, strict=True)
    ]
    of_real = (sides[0] != "") & _is_asked(real, versions[place])
    known[0] = sides[0][of_real], real.groups[of_real]
    here = place + 1
    reference = next((i for i in range(min(here, 2)) if len(known[i][0]) >= MIN_ROWS), None)
    if reference is None or len(known[here][0]) < MIN_ROWS:
        return None
    bits = divergence(known[reference], known[here], params.draws)
    return Divergence(
        measure=name,
        reference=names[reference],
        bits=bits,
        rows=len(known[here][0]),
        reference_rows=len(known[reference][0]),
        is_alarming=bits.low > params.max_divergence,
    )
