"""k-center keeps Gonzalez's bound, the DPP equals greedy determinants, coverage is a plain max."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from tasks.domain.diversity import (
    coverage,
    coverage_against_random,
    dpp_greedy_embeddings,
    dpp_greedy_map,
    k_center_greedy,
)
from tasks.domain.errors import BadInput, BadParameters, ShapeError

SEEDS = st.integers(0, 10_000)


def unit_rows(seed: int, n: int, d: int = 4) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def slow_k_center(rows: np.ndarray, k: int, anchors: np.ndarray) -> list[int]:
    fixed = [*anchors.astype(np.float64)]
    chosen: list[int] = []
    while len(chosen) < k:
        gaps = [
            -1.0 if i in chosen else min(np.linalg.norm(row - f) for f in fixed)
            for i, row in enumerate(rows.astype(np.float64))
        ]
        chosen.append(int(np.argmax(gaps)))
        fixed.append(rows[chosen[-1]].astype(np.float64))
    return chosen


@given(SEEDS, st.integers(1, 15), st.integers(1, 5))
def test_k_center_equals_a_slow_loop(seed: int, n: int, m: int) -> None:
    rows, anchors = unit_rows(seed, n), unit_rows(seed + 1, m)
    assert k_center_greedy(rows, n, anchors).tolist() == slow_k_center(rows, n, anchors)


@given(SEEDS, st.integers(1, 4))
def test_k_center_is_within_twice_the_best_radius(seed: int, k: int) -> None:
    rows = unit_rows(seed, 9)
    apart = cdist(rows, rows)
    best = min(apart[:, list(s)].min(axis=1).max() for s in combinations(range(9), k))
    assert coverage(rows, k_center_greedy(rows, k)).radius <= 2 * best + 1e-6


def test_k_center_starts_at_the_medoid_or_far_from_the_anchors() -> None:
    rows = unit_rows(3, 30)
    medoid = int(np.argmin((cdist(rows, rows) ** 2).sum(axis=1)))
    assert k_center_greedy(rows, 1).tolist() == [medoid]
    farthest = int(np.argmax(cdist(rows, rows[:5]).min(axis=1)))
    assert k_center_greedy(rows, 1, rows[:5]).tolist() == [farthest]


def test_identical_rows_are_all_taken_once() -> None:
    rows = np.repeat(unit_rows(0, 1), 5, axis=0)
    assert sorted(k_center_greedy(rows, 9).tolist()) == [0, 1, 2, 3, 4]
    assert k_center_greedy(rows[:0], 3).size == 0
    assert k_center_greedy(rows, 0).size == 0


@given(SEEDS, st.integers(1, 10), st.integers(1, 10))
def test_dpp_equals_greedy_determinants(seed: int, n: int, k: int) -> None:
    factor = np.random.default_rng(seed).normal(size=(n, n + 3))
    kernel = factor @ factor.T
    chosen: list[int] = []
    while len(chosen) < min(k, n):
        left = [i for i in range(n) if i not in chosen]
        gains = [np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1] for i in left]
        chosen.append(left[int(np.argmax(gains))])
    assert dpp_greedy_map(kernel, k).tolist() == chosen


def test_dpp_stops_where_the_rank_is_spent() -> None:
    rows = unit_rows(1, 10, d=3).astype(np.float64)
    chosen = dpp_greedy_map(rows @ rows.T, 10)
    assert len(chosen) == len(set(chosen.tolist())) == 3


@given(SEEDS, st.integers(2, 12))
def test_lazy_kernel_equals_the_stored_one(seed: int, n: int) -> None:
    rows = unit_rows(seed, n)
    quality = np.random.default_rng(seed).uniform(0.5, 1, n)
    squares = cdist(rows, rows, "sqeuclidean")
    kernel = np.outer(quality, quality) * np.exp(-squares / (2 * squares.mean()))
    assert dpp_greedy_embeddings(rows, quality, 5).tolist() == dpp_greedy_map(kernel, 5).tolist()


def test_dpp_prefers_quality_among_equals_and_skips_copies() -> None:
    rows = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert dpp_greedy_embeddings(rows, np.array([0.8, 0.9, 0.7]), 3).tolist() == [1, 2]


@given(SEEDS, st.integers(1, 12), st.integers(1, 12))
def test_coverage_is_the_largest_and_mean_nearest_distance(seed: int, n: int, k: int) -> None:
    rows = unit_rows(seed, n)
    chosen = np.arange(min(k, n))
    nearest = cdist(rows, rows[chosen]).min(axis=1)
    found = coverage(rows, chosen)
    assert (found.radius, found.mean) == pytest.approx((nearest.max(), nearest.mean()), abs=1e-6)
    assert coverage(rows, np.arange(n)).radius == 0


def test_k_center_covers_better_than_chance() -> None:
    rng = np.random.default_rng(0)
    clump = unit_rows(0, 1) + rng.normal(0, 0.02, (180, 4))
    rows = np.concatenate([clump, unit_rows(1, 20)])
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    found = coverage_against_random(rows, k_center_greedy(rows, 12), 50, np.random.default_rng(1))
    assert found.chosen.radius < found.random_q05.radius
    assert found.random_q05.mean <= found.random_mean.mean <= found.random_q95.mean
    again = coverage_against_random(rows, k_center_greedy(rows, 12), 50, np.random.default_rng(1))
    assert again == found


def test_nothing_chosen_covers_nothing() -> None:
    rows, none = unit_rows(0, 4), np.empty(0, dtype=np.int64)
    assert coverage(rows, none).radius == np.inf
    assert coverage(rows, none, rows).radius == pytest.approx(0, abs=1e-6)
    assert coverage(rows[:0], none).radius == 0
    assert coverage_against_random(rows, none, 3, np.random.default_rng(0)).random_q95.radius > 9


def test_bad_input_is_named() -> None:
    rows = unit_rows(0, 4)
    with pytest.raises(BadParameters, match="budget"):
        k_center_greedy(rows, -1)
    with pytest.raises(ShapeError, match="square"):
        dpp_greedy_map(rows[:, :2], 1)
    with pytest.raises(BadInput, match="positive"):
        dpp_greedy_embeddings(rows, np.zeros(4), 2)
    with pytest.raises(ShapeError, match="width"):
        k_center_greedy(rows, 1, unit_rows(0, 2, d=5))
