"""Blocked duplicates equal a double loop, whatever the blocks and the order of rows."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.deduplicate import DuplicateAssignment, duplicate_clusters, pool_matches
from tasks.domain.errors import BadInput, ShapeError


def unit_rows(rng: np.random.Generator, n: int, d: int = 6) -> np.ndarray:
    """Rows in tight clumps, so that duplicates are common and chains occur."""
    centres = rng.normal(size=(max(n // 4, 1), d))
    rows = centres[rng.integers(len(centres), size=n)] + rng.normal(0, 0.1, (n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return min(float((a.astype(np.float64) * b).sum()), 1.0)


def slow(rows: np.ndarray, scores: np.ndarray, limit: float) -> tuple[list[bool], list[int]]:
    kept, merged = [False] * len(rows), [-1] * len(rows)
    taken: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-scores[i], i)):
        merged[i] = next((j for j in taken if cosine(rows[i], rows[j]) > limit), -1)
        if merged[i] < 0:
            kept[i] = True
            taken.append(i)
    return kept, merged


def as_lists(found: DuplicateAssignment) -> tuple[list[bool], list[int]]:
    return found.kept.tolist(), found.merged_into.tolist()


def in_batches(pool: np.ndarray, size: int) -> Iterator[tuple[list[str], np.ndarray]]:
    for start in range(0, len(pool), size):
        rows = pool[start : start + size]
        yield [f"id{start + i}" for i in range(len(rows))], rows


@given(st.integers(0, 40), st.integers(1, 45), st.integers(0, 10_000))
def test_equals_the_double_loop(n: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = unit_rows(rng, n)
    scores = rng.integers(0, 5, n) / 4  # with ties
    for limit in (0.9, 0.97, 0.995):
        found = duplicate_clusters(rows, scores, limit, block)
        assert as_lists(found) == slow(rows, scores, limit)


@given(
    st.integers(0, 30), st.integers(0, 30), st.integers(1, 35), st.integers(1, 12),
    st.integers(0, 10_000),
)  # fmt: skip
def test_pool_matches_equal_the_double_loop(n, m, batch, block, seed) -> None:
    rng = np.random.default_rng(seed)
    both = unit_rows(rng, n + m)
    rows, pool = both[:n], both[n:]
    for limit in (0.9, 0.97, 0.995):
        found = pool_matches(rows, in_batches(pool, batch), limit, block)
        near = [[cosine(row, other) for other in pool] for row in rows]
        first = [next((f"id{j}" for j, c in enumerate(row) if c > limit), None) for row in near]
        assert list(found.duplicate_of) == first
        assert np.allclose(found.cosine, [max(row, default=-1.0) for row in near], atol=1e-6)


def test_rounding_does_not_decide_what_the_pool_holds() -> None:
    rows = unit_rows(np.random.default_rng(5), 24, d=64)
    for i in range(10):
        limit = cosine(rows[i], rows[i + 1])
        for cut, is_in in ((limit, False), (np.nextafter(limit, -1), True)):
            found = pool_matches(rows[i : i + 1], in_batches(rows[i + 1 : i + 2], 1), float(cut))
            assert (found.duplicate_of[0] is not None) == is_in


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
    assert as_lists(found) == ([True, False, True], [-1, 0, -1])


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
        assert as_lists(found) == slow(rows, scores, float(limit))


def test_bad_input_is_named() -> None:
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(BadInput, match="finite scores"):
        duplicate_clusters(rows, np.array([1, np.nan, 0]), 0.9)
    with pytest.raises(ShapeError, match="length 1"):
        duplicate_clusters(2 * rows, np.ones(3), 0.9)
    with pytest.raises(ShapeError, match="pool"):
        pool_matches(rows, in_batches(np.eye(4, dtype=np.float32), 2), 0.9)
    with pytest.raises(ShapeError, match="length 1"):
        pool_matches(rows, in_batches(np.full((1, 3), np.nan, dtype=np.float32), 1), 0.9)
