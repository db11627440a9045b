"""Kernel Inception Distance: how far a set of made windows lies from a set of real ones.

KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k(x, y) = (x.y/d + 1)^3, over pairs of
independent rows: the unbiased MMD^2 (Binkowski et al., ICLR 2018; Gretton et al., JMLR 2012). The
embeddings are CLIP's, unit rows u, taken as x = sqrt(d) u, so that x.y/d is their cosine: values
compare with each other, not with those of Inception features. In the mean 0 for equal distributions
(so a sample's may be negative), 14 for two single orthogonal directions.

Rows of one source are not independent, nor is a row of itself when a bootstrap draws it twice:
such pairs would lift the within-means. Only pairs of different sources count.
"""

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
) -> float:
    """The distance of two samples, lower is nearer.

    Args:
        real: (n, d) unit rows.
        made: (m, d) unit rows.
        real_groups, made_groups: (n,) and (m,) source of each row, pairs of equal ones do not
            count; None takes every row as a source of its own (Binkowski's estimator).

    Raises:
        BadInput: a side has fewer than 2 sources.
        ShapeError: the shapes do not match, or rows are not of unit length.
    """
    codes = np.arange(len(real) + len(made)).astype(np.str_)
    left = codes[: len(real)] if real_groups is None else real_groups
    right = codes[len(real) :] if made_groups is None else made_groups
    ones = np.ones((1, len(real))), np.ones((1, len(made)))
    return float(_kids(real, left, made, right, *ones)[0])


def kid_difference(
    real: FloatArray,
    real_groups: _Names,
    made_a: FloatArray,
    groups_a: _Names,
    made_b: FloatArray,
    groups_b: _Names,
    draws: int,
    seed: int,
) -> tuple[Estimate, Estimate, Estimate]:
    """The distances of two made sets to the same real one, and their paired difference.

    Whole sources are drawn with replacement; a and b share the draw of the real sources, and that
    of every source both were made from. With a handful of sources the intervals are too narrow; a
    distance that is truly 0 has one that is too wide (its estimator is degenerate there).

    Args:
        real: (n, d) unit rows, with real_groups (n,) their sources.
        made_a, made_b: (m, d) and (l, d) unit rows, with groups_a and groups_b the sources they
            were edited from.
        draws: resamples, 1 or more.
        seed: decides the draws.

    Returns:
        KID of a, of b, and a - b: below 0 where a is nearer to the real windows.

    Raises:
        BadInput: a side has fewer than 2 sources.
        ShapeError: the shapes do not match, or rows are not of unit length.
    """
    a = kid(real, made_a, real_groups, groups_a)
    b = kid(real, made_b, real_groups, groups_b)
    (real_times,) = cluster_draws(draws, seed, real_groups)
    times_a, times_b = cluster_draws(draws, seed + 1, groups_a, groups_b)
    drawn_a = _kids(real, real_groups, made_a, groups_a, real_times, times_a)
    drawn_b = _kids(real, real_groups, made_b, groups_b, real_times, times_b)
    return estimate(a, drawn_a), estimate(b, drawn_b), estimate(a - b, drawn_a - drawn_b)


def _kids(
    real: FloatArray,
    real_groups: _Names,
    made: FloatArray,
    made_groups: _Names,
    real_times: Times,
    made_times: Times,
) -> _Floats:
    """(b,) KID of each draw; nan where a side holds a single source."""
    x, y = _required(real, real_groups, "real"), _required(made, made_groups, "made")
    if x.shape[1] != y.shape[1]:
        raise ShapeError(
            f"Expected embeddings of one width, but got {x.shape[1]} real and {y.shape[1]} made; "
            "embed both with the same model set"
        )
    sides = (x, real_groups, real_times), (y, made_groups, made_times)
    within = _mean_kernel(*sides[0], *sides[0]) + _mean_kernel(*sides[1], *sides[1])
    return within - 2 * _mean_kernel(*sides[0], *sides[1])


def _mean_kernel(
    x: _Floats, x_groups: _Names, x_times: Times, y: _Floats, y_groups: _Names, y_times: Times
) -> _Floats:
    """(b,) mean of k over the drawn pairs of different sources; nan where there is none."""
    names = np.asarray(x_groups, np.str_)[:, None], np.asarray(y_groups, np.str_)[None, :]
    counts = (names[0] != names[1]).astype(np.float64)
    total = ((x_times @ (counts * (x @ y.T + 1.0) ** 3)) * y_times).sum(axis=1)
    pairs = ((x_times @ counts) * y_times).sum(axis=1)
    mean = np.full(len(pairs), np.nan)
    np.divide(total, pairs, out=mean, where=pairs > 0)
    return mean


def _required(rows: FloatArray, groups: _Names, name: str) -> _Floats:
    """The rows in float64, once they are known to be of use."""
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or len(groups) != len(values):
        raise ShapeError(
            f"Expected (n, d) {name} embeddings and (n,) groups, but got {values.shape} and "
            f"{len(groups)} groups"
        )
    if len(set(np.asarray(groups).tolist())) < 2:
        raise BadInput(f"Expected {name} windows of 2 sources or more, but got {len(values)} of 1")
    lengths = np.linalg.norm(values, axis=1)
    if not (np.abs(lengths - 1.0) <= _UNIT_TOLERANCE).all():
        raise ShapeError(
            f"Expected {name} rows of length 1, but got {lengths.min():.3f} to "
            f"{lengths.max():.3f}; divide each by its norm"
        )
    return values
