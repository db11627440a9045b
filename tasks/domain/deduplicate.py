"""Near-duplicates merge into the better-scored one, exactly.

In descending score, row i merges into the first kept row j with cos(e_i, e_j) > max_cosine; else it
is kept. What resembles a row of the pool merges into that one before. Cosines come from blocked
matrix products; those within rounding of the threshold are computed again, pair by pair in float64,
so that neither block size nor row order can change the answer. Source: article 3.4; greedy as in
non-maximum suppression (Rosenfeld & Thurston, IEEE Trans. Computers 1971).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.domain.errors import BadInput, BadParameters, ShapeError
from tasks.domain.luminance import FloatArray

_ROUNDING = 1e-5
_UNIT_TOLERANCE = 1e-3
_PAIRS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class DuplicateAssignment:
    """Where each of n rows went: kept (n,) bool, or merged_into (n,) int64, a kept row, else -1."""

    kept: npt.NDArray[np.bool_]
    merged_into: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PoolMatches:
    """What each of n rows is close to in a pool.

    duplicate_of (n,): the id of the first pool row above the threshold, or None; cosine (n,)
    float32: of the nearest pool row, -1 where the pool is empty.
    """

    duplicate_of: tuple[str | None, ...]
    cosine: FloatArray


def pool_matches(
    embeddings: FloatArray,
    pool: Iterable[tuple[Sequence[str], FloatArray]],
    max_cosine: float,
    block: int = 2048,
) -> PoolMatches:
    """The duplicates of rows in a pool of any size, and how near its nearest rows are.

    Args:
        embeddings: (n, d) float32 unit rows; n may be 0.
        pool: ids (m,) and (m, d) unit rows, a batch at a time, each read once.
        max_cosine: above it, strictly, two images are one; at 1 nothing merges.
        block: rows of either side that a matrix product handles.

    Raises:
        ShapeError: widths differ, or rows are not of unit length.
    """
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    _require_unit(rows)
    nearest = np.full(len(rows), -1.0, dtype=np.float32)
    found: list[str | None] = [None] * len(rows)
    for ids, batch in pool:
        others = _require_pool(batch, rows)
        for low in range(0, len(others), block):
            other = others[low : low + block]
            best = _nearest_cosine(rows, other, block)
            np.maximum(nearest, best, out=nearest)
            close = [i for i in np.flatnonzero(best > max_cosine - _ROUNDING) if found[i] is None]
            above = _is_above(rows[close], other, max_cosine)
            for i, matches in zip(close, above, strict=True):
                found[i] = ids[low + int(matches.argmax())] if matches.any() else None
    return PoolMatches(duplicate_of=tuple(found), cosine=nearest)


def _nearest_cosine(rows: FloatArray, others: FloatArray, block: int) -> FloatArray:
    """(n,) the largest cosine of each row."""
    parts = [
        (rows[start : start + block] @ others.T).max(axis=1) for start in range(0, len(rows), block)
    ]
    return np.concatenate([*parts, np.zeros(0, dtype=np.float32)])


def duplicate_clusters(
    embeddings: FloatArray,
    scores: npt.NDArray[Any],
    max_cosine: float,
    block: int = 4096,
) -> DuplicateAssignment:
    """Which rows stay, and what the others merge into.

    Args:
        embeddings: (n, d) float32 unit rows; n may be 0.
        scores: (n,) finite; the higher of two duplicates stays, of equals the earlier row.
        max_cosine: above it, strictly, two images are one; at 1 nothing merges.
        block: rows a matrix product handles; memory is about 10 block^2 bytes.

    Raises:
        BadInput: a score is not finite.
        BadParameters: block is below 1.
        ShapeError: shapes do not match, or rows are not of unit length.
    """
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    _require_rows(rows, scores, block)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    merged_into = np.full(len(rows), -1, dtype=np.int64)
    kept: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    for start in range(0, len(order), block):
        part = order[start : start + block]
        match = _first_match(rows[part], rows[kept], max_cosine, block)
        merged_into[part[match >= 0]] = kept[match[match >= 0]]
        part = part[match < 0]
        leader = _leaders_within(rows[part], max_cosine)
        merged_into[part[leader >= 0]] = part[leader[leader >= 0]]
        kept = np.concatenate([kept, part[leader < 0]])
    is_kept = np.zeros(len(rows), dtype=np.bool_)
    is_kept[kept] = True
    return DuplicateAssignment(kept=is_kept, merged_into=merged_into)


def _first_match(
    rows: FloatArray, others: FloatArray, max_cosine: float, block: int
) -> npt.NDArray[np.int64]:
    """(n,) index of the first other row above the threshold, or -1."""
    first = np.full(len(rows), -1, dtype=np.int64)
    for low in range(0, len(others), block):
        other = others[low : low + block]
        for start in range(0, len(rows), block):
            open_rows = start + np.flatnonzero(first[start : start + block] < 0)
            above = _is_above(rows[open_rows], other, max_cosine)
            hit = above.any(axis=1)
            first[open_rows[hit]] = low + above[hit].argmax(axis=1)
    return first


def _leaders_within(rows: FloatArray, max_cosine: float) -> npt.NDArray[np.int64]:
    """(n,) the first kept row before it, among rows in order, that each merges into, or -1."""
    above = _is_above(rows, rows, max_cosine)
    leader = np.full(len(rows), -1, dtype=np.int64)
    for index in range(len(rows)):
        if leader[index] < 0:
            after = above[index, index + 1 :] & (leader[index + 1 :] < 0)
            leader[index + 1 :][after] = index
    return leader


def _is_above(rows: FloatArray, others: FloatArray, max_cosine: float) -> npt.NDArray[np.bool_]:
    """(n, m) whether each cosine, cut at 1, exceeds the threshold."""
    cosine = rows @ others.T
    above = cosine > max_cosine
    near = np.nonzero(np.abs(cosine - max_cosine) < _ROUNDING)
    for start in range(0, len(near[0]), _PAIRS_AT_ONCE):
        i, j = (index[start : start + _PAIRS_AT_ONCE] for index in near)
        exact = (rows[i].astype(np.float64) * others[j]).sum(axis=1)
        above[i, j] = np.minimum(exact, 1.0) > max_cosine
    return np.asarray(above, dtype=np.bool_)


def _require_rows(rows: FloatArray, scores: npt.NDArray[Any], block: int) -> None:
    if block < 1:
        raise BadParameters(f"Expected a block of 1 row or more, but got {block}")
    if rows.ndim != 2 or np.shape(scores) != (len(rows),):
        raise ShapeError(
            f"Expected (n, d) embeddings and (n,) scores, but got {rows.shape} and "
            f"{np.shape(scores)}; give each row its score"
        )
    if not np.isfinite(scores).all():
        raise BadInput("Expected finite scores, but got nan or inf; refuse those candidates first")
    _require_unit(rows)


def _require_pool(pool: FloatArray, rows: FloatArray) -> FloatArray:
    """The pool as contiguous float32 of the rows' width."""
    others = np.ascontiguousarray(pool, dtype=np.float32)
    if others.ndim != 2 or others.shape[1] != rows.shape[1]:
        raise ShapeError(
            f"Expected a pool (m, {rows.shape[1]}), but got {others.shape}; "
            "embed both with the same model set"
        )
    _require_unit(others)
    return others


def _require_unit(rows: FloatArray) -> None:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if not (np.abs(lengths - 1.0) <= _UNIT_TOLERANCE).all():
        raise ShapeError(
            f"Expected rows of length 1, but got {lengths.min():.3f} to {lengths.max():.3f}; "
            "divide each by its norm"
        )
