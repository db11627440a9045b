"""Blocked duplicates equal a double loop, whatever the block and the order of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.deduplicate import DuplicateAssignment, duplicate_clusters
from tasks.domain.errors import BadInput, ShapeError


def unit_rows(rng: np.random.Generator, n: int, d: int = 6) -> np.ndarray:
    """Rows in tight clumps, so that duplicates are common and chains occur."""
    centres = rng.normal(size=(max(n // 4, 1), d))
    rows = centres[rng.integers(len(centres), size=n)] + rng.normal(0, 0.1, (n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return min(float((a.astype(np.float64) * b).sum()), 1.0)


def slow(
    rows: np.ndarray, scores: np.ndarray, limit: float, pool: np.ndarray
) -> tuple[list[bool], list[int], list[int]]:
    kept, merged, in_pool = [False] * len(rows), [-1] * len(rows), [-1] * len(rows)
    taken: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-scores[i], i)):
        in_pool[i] = next((j for j, p in enumerate(pool) if cosine(rows[i], p) > limit), -1)
        if in_pool[i] < 0:
            merged[i] = next((j for j in taken if cosine(rows[i], rows[j]) > limit), -1)
        if in_pool[i] < 0 and merged[i] < 0:
            kept[i] = True
            taken.append(i)
    return kept, merged, in_pool


def as_lists(found: DuplicateAssignment) -> tuple[list[bool], list[int], list[int]]:
    return found.kept.tolist(), found.merged_into.tolist(), found.pool_index.tolist()


@given(st.integers(0, 40), st.integers(0, 12), st.integers(1, 45), st.integers(0, 10_000))
def test_equals_the_double_loop(n: int, m: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, pool = unit_rows(rng, n), unit_rows(rng, m)
    if n and m:
        pool[0] = rows[0]
    scores = rng.integers(0, 5, n) / 4  # with ties
    for limit in (0.9, 0.97, 0.995):
        found = duplicate_clusters(rows, scores, limit, pool, block)
        assert as_lists(found) == slow(rows, scores, limit, pool)


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_row_order_does_not_matter(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, scores, order = unit_rows(rng, n), rng.permutation(n) / n, rng.permutation(n)
    one = duplicate_clusters(rows, scores, 0.97, block=7)
    other = duplicate_clusters(rows[order], scores[order], 0.97, block=16)
    assert np.array_equal(one.kept[order], other.kept)
    leaders = np.where(other.merged_into >= 0, order[other.merged_into], -1)
    assert np.array_equal(one.merged_into[order], leaders)


@given(st.integers(1, 60), st.integers(0, 10_000))
def test_kept_rows_differ_and_merged_ones_lead_to_better(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, scores = unit_rows(rng, n), rng.uniform(size=n)
    found = duplicate_clusters(rows, scores, 0.95, block=9)
    kept = rows[found.kept].astype(np.float64)
    products = kept @ kept.T - 2 * np.eye(len(kept))
    assert (products <= 0.95 + 1e-9).all()
    merged = np.flatnonzero(found.merged_into >= 0)
    leaders = found.merged_into[merged]
    assert found.kept[leaders].all()
    assert (scores[leaders] > scores[merged]).all()
    assert (found.kept.astype(int) + (found.merged_into >= 0)).tolist() == [1] * n


def test_a_chain_does_not_merge_its_ends() -> None:
    angles = np.array([0.0, 0.08, 0.16])  # neighbours above .995, ends below
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = duplicate_clusters(rows, np.array([0.9, 0.8, 0.7]), 0.995)
    assert as_lists(found) == ([True, False, True], [-1, 0, -1], [-1, -1, -1])


def test_the_pool_wins_whatever_the_score() -> None:
    rows = np.array([[1, 0], [0, 1]], dtype=np.float32)
    found = duplicate_clusters(rows, np.array([1e9, 0.0]), 0.995, rows[:1])
    assert as_lists(found) == ([False, True], [-1, -1], [0, -1])


def test_at_the_threshold_nothing_merges() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0.6, 0.8]], dtype=np.float32)
    limit = cosine(rows[0], rows[1])
    assert duplicate_clusters(rows[:2], np.ones(2), limit).kept.all()
    assert not duplicate_clusters(rows[:2], np.ones(2), np.nextafter(limit, 0)).kept.all()
    assert duplicate_clusters(rows, np.ones(3), 1.0).kept.all()


@given(st.integers(0, 10_000))
def test_rounding_of_the_products_does_not_decide(seed: int) -> None:
    rows = unit_rows(np.random.default_rng(seed), 40, d=64)
    scores = -np.arange(40.0)
    limits = [cosine(rows[i], rows[i + 1]) for i in range(10)]
    for limit in [*limits, *np.nextafter(limits, -1)]:
        found = duplicate_clusters(rows, scores, float(limit), block=16)
        assert as_lists(found) == slow(rows, scores, float(limit), rows[:0])


def test_bad_input_is_named() -> None:
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(BadInput, match="finite scores"):
        duplicate_clusters(rows, np.array([1, np.nan, 0]), 0.9)
    with pytest.raises(ShapeError, match="length 1"):
        duplicate_clusters(2 * rows, np.ones(3), 0.9)
    with pytest.raises(ShapeError, match="pool"):
        duplicate_clusters(rows, np.ones(3), 0.9, np.eye(4, dtype=np.float32))
    with pytest.raises(ShapeError, match="length 1"):
        duplicate_clusters(rows, np.ones(3), 0.9, np.full((1, 3), np.nan, dtype=np.float32))
