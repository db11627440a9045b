"""Kernel Inception Distance: how far a set of made windows lies from a set of real ones.

KID = mean over kinds of [mean k(x, x') + mean k(y, y') - 2 mean k(x, y)], k(x, y) = (x.y/d + 1)^3,
over pairs of independent rows: the unbiased MMD^2 (Binkowski et al., ICLR 2018; Gretton et al.,
JMLR 2012), like compared with like. The embeddings are CLIP's, unit rows u, taken as x = sqrt(d) u,
so that x.y/d is their cosine: values compare with each other, not with those of Inception features.
In the mean 0 for equal distributions (so a sample's may be negative), 14 for two single orthogonal
directions.

Rows of one source are not independent, nor is a row of itself when a bootstrap draws it twice:
such pairs would lift the within-means. Only pairs of different sources count. Where a side has one
source of a kind there is none: pairs of different rows of it stand in, which are more alike than
those of two sources, and KID is too high. The difference of two made sets knows no such bias of the
real rows: their own term cancels in it, and does not enter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.domain.bootstrap import Estimate, estimate
from tasks.domain.cluster_draws import Times, cluster_draws
from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.luminance import FloatArray

_Floats = npt.NDArray[np.float64]
_Names = npt.NDArray[Any]
_UNIT_TOLERANCE = 1e-3


def kid(
    real: FloatArray,
    made: FloatArray,
    real_groups: _Names | None = None,
    made_groups: _Names | None = None,
    real_kinds: _Names | None = None,
    made_kinds: _Names | None = None,
) -> float:
    """The distance of two samples, lower is nearer.

    Args:
        real: (n, d) unit rows.
        made: (m, d) unit rows.
        real_groups, made_groups: (n,) and (m,) source of each row, pairs of equal ones do not
            count; None takes every row as a source of its own (Binkowski's estimator).
        real_kinds, made_kinds: (n,) and (m,) kind of each row; None takes all as of one kind.
            Kinds that either side lacks are left out.

    Returns:
        The mean over kinds; too high where a kind has one source on a side. Kinds without a value
        (a single row on a side, or all rows of both sides of one source) are left out; nan where
        none has one.

    Raises:
        BadInput: the sides have no kind in common.
        ShapeError: the shapes do not match, or rows are not of unit length.
    """
    codes = np.arange(len(real) + len(made))
    left = codes[: len(real)] if real_groups is None else real_groups
    right = codes[len(real) :] if made_groups is None else made_groups
    x = _Sample.of(real, left, real_kinds, "real")
    y = _Sample.of(made, right, made_kinds, "made")
    kinds = _shared_kinds(x, y)
    return float(_mean_over_kinds(_own_terms(x, kinds) + _other_terms(x, y, kinds))[0])


def kid_difference(
    real: FloatArray,
    real_groups: _Names,
    made_a: FloatArray,
    groups_a: _Names,
    made_b: FloatArray,
    groups_b: _Names,
    draws: int,
    seed: int,
    real_kinds: _Names | None = None,
    kinds_a: _Names | None = None,
    kinds_b: _Names | None = None,
) -> tuple[Estimate, Estimate, Estimate]:
    """The distances of two made sets to the same real one, and their paired difference.

    Whole sources are drawn with replacement; a and b share the draw of the real sources, and that
    of every source both were made from. A kind that a draw leaves without a pair is left out of
    that draw, for both. Where there is a single real source, or a single one that everything was
    made from, its rows are drawn in its place (row i of a with row i of b): the interval then
    speaks of that source alone. With a handful of sources the intervals are too narrow; a distance
    that is truly 0 has one that is too wide (its estimator is degenerate there).

    Args:
        real: (n, d) unit rows, with real_groups (n,) their sources.
        made_a, made_b: (m, d) and (l, d) unit rows, with groups_a and groups_b the sources they
            were edited from.
        draws: resamples, 1 or more.
        seed: decides the draws.
        real_kinds, kinds_a, kinds_b: (n,), (m,) and (l,) kind of each row; None takes all as of
            one kind. Kinds that are not on all three sides are left out.

    Returns:
        KID of a, of b (see `kid`), and a - b: below 0 where a is nearer to the real windows. The
        third is made of the terms that differ alone: it has a value even where, of a single real
        row, the first two have none. nan where nothing could be paired.

    Raises:
        BadInput: the sides have no kind in common.
        ShapeError: the shapes do not match, or rows are not of unit length.
    """
    x = _Sample.of(real, real_groups, real_kinds, "real")
    a = _Sample.of(made_a, groups_a, kinds_a, "made")
    b = _Sample.of(made_b, groups_b, kinds_b, "made")
    kinds = _shared_kinds(x, a, b)
    (x,) = _drawn(draws, seed, x.only(kinds))
    a, b = _drawn(draws, seed + 1, a.only(kinds), b.only(kinds))
    own, other_a, other_b = (
        _own_terms(x, kinds),
        _other_terms(x, a, kinds),
        _other_terms(x, b, kinds),
    )
    difference = other_a - other_b
    own[~np.isfinite(difference)] = np.nan
    found = [_mean_over_kinds(v) for v in (own + other_a, own + other_b, difference)]
    of_a, of_b, apart = (estimate(float(v[0]), v[1:]) for v in found)
    return of_a, of_b, apart


@dataclass(frozen=True, eq=False)
class _Sample:
    """rows (n, d) of length 1, their groups and kinds (n,), how often drawn (b, n)."""

    rows: _Floats
    groups: _Names
    kinds: _Names
    times: Times

    @classmethod
    def of(cls, rows: FloatArray, groups: _Names, kinds: _Names | None, name: str) -> "_Sample":
        """The rows, each drawn once, when they are of use."""
        values = np.asarray(rows, dtype=np.float64)
        named = np.zeros(len(values), np.str_) if kinds is None else np.asarray(kinds, np.str_)
        if values.ndim != 2 or not len(values) == len(groups) == len(named):
            raise ShapeError(
                f"Expected (n, d) {name} embeddings and (n,) groups and kinds, but got "
                f"{values.shape}, {len(groups)} groups and {len(named)} kinds"
            )
        lengths = np.linalg.norm(values, axis=1)
        if not (np.abs(lengths - 1.0) <= _UNIT_TOLERANCE).all():
            raise ShapeError(
                f"Expected {name} rows of length 1, but got {lengths.min():.3f} to "
                f"{lengths.max():.3f}; divide each by its norm"
            )
        return cls(values, np.asarray(groups, np.str_), named, np.ones((1, len(values))))

    def only(self, kinds: Iterable[str]) -> "_Sample":
        """The rows of some kinds."""
        keep = np.isin(self.kinds, list(kinds))
        return _Sample(self.rows[keep], self.groups[keep], self.kinds[keep], self.times[:, keep])


def _shared_kinds(*sides: _Sample) -> list[str]:
    """The kinds that all sides have, sorted; they must be embedded alike."""
    widths = [side.rows.shape[1] for side in sides]
    if len(set(widths)) > 1:
        raise ShapeError(
            f"Expected embeddings of one width, but got {widths[0]} real and "
            f"{', '.join(map(str, widths[1:]))} made; embed all with the same model set"
        )
    own = [set(side.kinds.tolist()) for side in sides]
    if shared := set.intersection(*own):
        return sorted(shared)
    told = [", ".join(sorted(kinds)) or "none" for kinds in own]
    raise BadInput(
        "Expected windows of one kind at least on both sides, but got real ones of "
        f"{told[0]} and made ones of {' and '.join(told[1:])}"
    )


def _drawn(draws: int, seed: int, *sides: _Sample) -> list[_Sample]:
    """The samples as they are in row 0 of their times, then as drawn together."""
    is_single = len({group for side in sides for group in side.groups.tolist()}) == 1
    names = [np.arange(len(side.rows)) if is_single else side.groups for side in sides]
    drawn = cluster_draws(draws, seed, *names)
    return [
        _Sample(side.rows, side.groups, side.kinds, np.concatenate([side.times, times]))
        for side, times in zip(sides, drawn, strict=True)
    ]


def _own_terms(x: _Sample, kinds: Iterable[str]) -> _Floats:
    """(kinds, b) mean kernel within the rows of each kind."""
    return np.stack([_within(x.only([kind])) for kind in kinds])


def _other_terms(x: _Sample, y: _Sample, kinds: Iterable[str]) -> _Floats:
    """(kinds, b) that of made rows less twice that between real and made ones."""
    pairs = [(x.only([kind]), y.only([kind])) for kind in kinds]
    return np.stack([_within(made) - 2 * _between(real, made) for real, made in pairs])


def _within(x: _Sample) -> _Floats:
    """Over pairs of different sources; of different rows, where all are of one source."""
    is_pair = x.groups[:, None] != x.groups[None, :]
    return _mean_kernel(x, x, is_pair if is_pair.any() else ~np.eye(len(x.rows), dtype=bool))


def _between(x: _Sample, y: _Sample) -> _Floats:
    """Over pairs of different sources."""
    return _mean_kernel(x, y, x.groups[:, None] != y.groups[None, :])


def _mean_kernel(x: _Sample, y: _Sample, is_pair: npt.NDArray[np.bool_]) -> _Floats:
    """(b,) mean of k over the drawn pairs; nan where there is none."""
    counts = is_pair.astype(np.float64)
    total = ((x.times @ (counts * (x.rows @ y.rows.T + 1.0) ** 3)) * y.times).sum(axis=1)
    pairs = ((x.times @ counts) * y.times).sum(axis=1)
    mean = np.full(len(pairs), np.nan)
    np.divide(total, pairs, out=mean, where=pairs > 0)
    return mean


def _mean_over_kinds(values: _Floats) -> _Floats:
    """(b,) mean of (kinds, b) over the kinds that have a value; nan where none has."""
    is_known = np.isfinite(values)
    mean = np.full(values.shape[1], np.nan)
    np.divide(
        np.where(is_known, values, 0.0).sum(axis=0), is_known.sum(axis=0),
        out=mean, where=is_known.any(axis=0),
    )  # fmt: skip
    return mean
