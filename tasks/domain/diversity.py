"""A diverse subset within a budget, and how well it covers the rest.

k-center: add argmax_i min_{j chosen} |e_i - e_j|, at most twice the best radius (Gonzalez,
Theor. Comput. Sci. 1985). DPP: add argmax_i log det L_{S + i}, by incremental Cholesky
(Chen, Zhang & Zhou, NeurIPS 2018), L_ij = q_i q_j exp(-|e_i - e_j|^2 / (2 h^2)) with h^2 the mean
squared distance. Distances are Euclidean: between unit rows |a - b|^2 = 2 (1 - cos).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.domain.errors import BadInput, BadParameters, ShapeError
from tasks.domain.luminance import FloatArray
from tasks.domain.records import Record

Indices = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

_RANK_TOLERANCE = 1e-10
_BLOCK_ROWS = 2048


class Coverage(Record):
    """Distances of n rows to their nearest chosen row: the largest and the mean, lower is better;
    Euclidean, in [0, 2] for unit rows, inf when nothing was chosen and 0 when n is 0."""

    radius: float
    mean: float


class CoverageComparison(Record):
    """A chosen set beside random sets of the same size: mean and 5-95 % range of their figures."""

    chosen: Coverage
    random_mean: Coverage
    random_q05: Coverage
    random_q95: Coverage
    draws: int


def k_center_greedy(embeddings: FloatArray, k: int, anchors: FloatArray | None = None) -> Indices:
    """Rows that leave no other row far from the chosen ones, in the order they were taken.

    Args:
        embeddings: (n, d).
        k: how many, >= 0.
        anchors: (m, d) rows that are there anyway (real images); without any, the first choice is
            the medoid, the row with the least mean squared distance to the others.

    Returns:
        (min(k, n),) distinct; of equally far rows the first.

    Raises:
        BadParameters: k is negative.
        ShapeError: the widths differ.
    """
    rows = _require_rows(embeddings, k)
    has_anchors = anchors is not None and len(anchors) > 0
    gap = _nearest_distance(rows, rows[:0] if anchors is None else anchors)
    chosen: list[int] = []
    for _ in range(min(k, len(rows))):
        pick = int(np.argmax(gap)) if chosen or has_anchors else _medoid(rows)
        chosen.append(pick)
        gap = np.minimum(gap, np.linalg.norm(rows - rows[pick], axis=1))
        gap[chosen] = -1.0
    return np.array(chosen, dtype=np.int64)


def dpp_greedy_map(kernel: npt.NDArray[Any], k: int) -> Indices:
    """Rows chosen one by one so that each raises the determinant of the kernel most.

    Args:
        kernel: (n, n) symmetric, positive semidefinite.
        k: how many, >= 0.

    Returns:
        (at most k,) distinct, in the order taken; fewer when the kernel's rank is spent. Of equal
        gains the first row.

    Raises:
        BadParameters: k is negative.
        ShapeError: the kernel is not square.
    """
    matrix = np.asarray(kernel, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"Expected a square (n, n) kernel, but got {matrix.shape}")
    return _greedy_map(np.diagonal(matrix), lambda pick: matrix[pick], k)


def dpp_greedy_embeddings(embeddings: FloatArray, quality: npt.NDArray[Any], k: int) -> Indices:
    """As `dpp_greedy_map` with the kernel of the module's docstring, which is never stored.

    Args:
        embeddings: (n, d).
        quality: (n,) > 0, finite; a better row weighs more against a more different one.
        k: how many, >= 0.

    Raises:
        BadInput: a quality is not positive and finite.
        BadParameters: k is negative.
        ShapeError: the lengths differ.
    """
    rows, weight = _require_rows(embeddings, k), np.asarray(quality, dtype=np.float64)
    if weight.shape != (len(rows),):
        raise ShapeError(f"Expected {len(rows)} qualities, one a row, but got {weight.shape}")
    if not (np.isfinite(weight) & (weight > 0)).all():
        raise BadInput("Expected positive finite qualities; refuse those candidates first")
    if len(rows) == 0:
        return np.empty(0, dtype=np.int64)
    bandwidth = max(2 * float(rows.var(axis=0).sum()), np.finfo(np.float64).tiny)

    def kernel_row(pick: int) -> _Floats:
        apart = ((rows - rows[pick]) ** 2).sum(axis=1)
        return np.asarray(weight * weight[pick] * np.exp(-apart / (2 * bandwidth)))

    return _greedy_map(weight**2, kernel_row, k)


def coverage(
    embeddings: FloatArray, chosen: npt.NDArray[Any], anchors: FloatArray | None = None
) -> Coverage:
    """How near every row (n, d) has a chosen row (indices) or an anchor (m, d)."""
    rows = np.asarray(embeddings, dtype=np.float64)
    if len(rows) == 0:
        return Coverage(radius=0.0, mean=0.0)
    picks = np.asarray(chosen, dtype=np.int64)
    gap = _nearest_distance(rows, rows[picks])
    if anchors is not None and len(anchors):
        gap = np.minimum(gap, _nearest_distance(rows, anchors))
    gap[picks] = 0.0
    return Coverage(radius=float(gap.max()), mean=float(gap.mean()))


def coverage_against_random(
    embeddings: FloatArray,
    chosen: npt.NDArray[Any],
    draws: int,
    rng: np.random.Generator,
    anchors: FloatArray | None = None,
) -> CoverageComparison:
    """The coverage of a chosen set beside that of random sets of the same size.

    Args:
        embeddings: (n, d).
        chosen: (k,) distinct indices.
        draws: random sets, >= 1.
        rng: draws them, without replacement.
        anchors: (m, d), counted for both when given.

    Raises:
        BadParameters: draws is below 1.
    """
    if draws < 1:
        raise BadParameters(f"Expected 1 draw or more, but got {draws}")
    sets = [rng.choice(len(embeddings), size=len(chosen), replace=False) for _ in range(draws)]
    random = [coverage(embeddings, picks, anchors) for picks in sets]
    radii, means = np.array([c.radius for c in random]), np.array([c.mean for c in random])

    def at(share: float) -> Coverage:
        return Coverage(radius=_order_statistic(radii, share), mean=_order_statistic(means, share))

    return CoverageComparison(
        chosen=coverage(embeddings, chosen, anchors),
        random_mean=Coverage(radius=float(radii.mean()), mean=float(means.mean())),
        random_q05=at(0.05),
        random_q95=at(0.95),
        draws=draws,
    )


def _greedy_map(diagonal: npt.NDArray[Any], row_of: Callable[[int], _Floats], k: int) -> Indices:
    """Chen et al., algorithm 1; gain is d_i^2, the determinant's factor when i joins."""
    if k < 0:
        raise BadParameters(f"Expected a budget of 0 or more, but got {k}")
    gain = np.array(diagonal, dtype=np.float64)
    factors = np.zeros((min(k, len(gain)), len(gain)))
    least = _RANK_TOLERANCE * float(gain.max(initial=0.0))
    chosen: list[int] = []
    for step in range(len(factors)):
        pick = int(np.argmax(gain))
        if not gain[pick] > least:
            break
        projected = factors[:step, pick] @ factors[:step]
        factors[step] = (row_of(pick) - projected) / np.sqrt(gain[pick])
        gain = gain - factors[step] ** 2
        chosen.append(pick)
        gain[chosen] = -np.inf
    return np.array(chosen, dtype=np.int64)


def _medoid(rows: _Floats) -> int:
    """The row with the least mean squared distance to all: the one nearest the mean."""
    return int(np.argmin(np.linalg.norm(rows - rows.mean(axis=0), axis=1)))


def _nearest_distance(rows: _Floats, others: npt.NDArray[Any]) -> _Floats:
    """(n,) Euclidean distance of each row to its nearest other row; inf when there is none."""
    there = np.asarray(others, dtype=np.float64)
    if there.ndim != 2 or there.shape[1] != rows.shape[1]:
        raise ShapeError(
            f"Expected rows of width {rows.shape[1]}, but got {there.shape}; "
            "embed both with the same model set"
        )
    squares = np.full(len(rows), np.inf)
    lengths = (there**2).sum(axis=1)
    for start in range(0, len(rows), _BLOCK_ROWS):
        here = rows[start : start + _BLOCK_ROWS]
        apart = (here**2).sum(axis=1)[:, None] + lengths[None, :] - 2 * here @ there.T
        squares[start : start + _BLOCK_ROWS] = apart.min(axis=1, initial=np.inf)
    return np.asarray(np.sqrt(np.clip(squares, 0.0, None)))


def _order_statistic(values: _Floats, share: float) -> float:
    """A quantile that stays inf where all values are inf."""
    return float(np.quantile(values, share, method="nearest"))


def _require_rows(embeddings: FloatArray, k: int) -> _Floats:
    if k < 0:
        raise BadParameters(f"Expected a budget of 0 or more, but got {k}")
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2:
        raise ShapeError(f"Expected (n, d) embeddings, but got {rows.shape}")
    return rows
