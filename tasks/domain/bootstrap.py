"""Paired bootstrap over seeds and groups: intervals of a figure, and of its difference to another.

A resample draws seeds with replacement, and groups of images with replacement (images of one part
are not independent); both arms are measured on the same draw, so that what is hard for both
cancels (Efron & Tibshirani 1993, ch. 8; Bouthillier et al., MLSys 2021, for the seeds). Intervals
are percentiles, 95 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.domain.records import Record

LOW, HIGH = 2.5, 97.5


class Estimate(Record):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 2) -> str:
        """The figure with its interval, as a person reads it."""
        value, low, high = (f"{one:.{digits}f}" for one in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


@dataclass(frozen=True)
class Resample:
    """Which seeds and which images one resample holds; `key` seeds the draws of other sets.

    No key: those sets stay as they are.
    """

    seeds: NDArray[np.int64]
    rows: NDArray[np.int64]
    key: int | None


def resamples(
    groups: Sequence[str], strata: NDArray[np.bool_], seeds: int, count: int, seed: int
) -> Iterator[Resample]:
    """Resamples of seeds and of whole groups; groups with a KO image apart from the others.

    Args:
        groups: (n,) the group of each image.
        strata: (n,) True for KO images.
        seeds: trainings an arm.
        count: resamples.
        seed: of the draws; equal ones draw the same for every arm.
    """
    rng = np.random.default_rng((seed, 11))
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    parts = [np.array(rows, dtype=np.int64) for rows in members.values()]
    has_ko = np.array([bool(strata[part].any()) for part in parts])
    sides = [[parts[i] for i in np.flatnonzero(has_ko == side)] for side in (True, False)]
    has_both = len(set(strata.tolist())) > 1
    for key in range(count):
        rows = _drawn(sides, rng)
        while has_both and len(set(strata[rows].tolist())) < 2:  # few groups, of mixed classes
            rows = _drawn(sides, rng)
        yield Resample(rng.integers(seeds, size=seeds), rows, key)


def _drawn(
    sides: Sequence[Sequence[NDArray[np.int64]]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of as many groups of each side as there are, with replacement."""
    picked = [side[i] for side in sides if side for i in rng.integers(len(side), size=len(side))]
    return np.concatenate(picked)


def estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    """A figure and the percentiles of its resamples, those without a value left out."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    low, high = np.percentile(finite, [LOW, HIGH])
    return Estimate(value=value, low=float(low), high=float(high))
