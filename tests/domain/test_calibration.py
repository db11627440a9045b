"""Typicality is a monotone trapezoid, and references leave a row's own source out."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.calibration import Metric, Quantiles, Reference
from tasks.domain.errors import BadInput, BadParameters, ShapeError

LEVELS = st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(sorted)


def test_typicality_at_its_knots() -> None:
    q = Quantiles(q50=1, q95=3, q99=5, n=100)
    knots = [q.typicality(d) for d in (0, 1, 2, 3, 6.5, 10, 11)]
    assert knots == pytest.approx([1, 1, 0.85, 0.7, 0.35, 0, 0])


@given(LEVELS, st.lists(st.floats(0, 3e6), min_size=2, max_size=20))
def test_typicality_is_in_range_and_never_rises(levels: list[float], ds: list[float]) -> None:
    q = Quantiles(q50=levels[0], q95=levels[1], q99=levels[2], n=9)
    t = [q.typicality(d) for d in sorted([*ds, *levels, 2 * levels[2]])]
    assert all(0 <= v <= 1 for v in t)
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(t))


def test_ties_are_steps() -> None:
    all_zero = Quantiles(q50=0, q95=0, q99=0, n=4)
    assert [all_zero.typicality(d) for d in (0.0, 1e-9, float("nan"))] == [1, 0, 0]
    tied = Quantiles(q50=2, q95=2, q99=2, n=4)
    assert [tied.typicality(d) for d in (2, 3, 4)] == pytest.approx([1, 0.35, 0])


@given(st.lists(st.floats(-1e-9, 1e3), min_size=1, max_size=50))
def test_quantiles_of_any_distances_are_ordered(values: list[float]) -> None:
    q = Quantiles.of(np.array(values))
    assert 0 <= q.q50 <= q.q95 <= q.q99
    assert q.n == len(values)


def test_quantiles_refuse_what_is_not_finite() -> None:
    with pytest.raises(BadInput, match="finite distances"):
        Quantiles.of(np.array([1.0, np.inf]))


def _slow_distance(ref: Reference, row: np.ndarray, own: str | None) -> float:
    """The definition, pair by pair."""
    found = []
    for other, group in zip(ref.features, ref.groups, strict=True):
        if group == own:
            continue
        a, b = row.astype(np.float64), other.astype(np.float64)
        if ref.metric == "l1_mean":
            found.append(np.abs(a - b).mean())
        elif ref.metric == "cosine":
            found.append(max(0.0, 1 - a @ b))
        else:
            found.append(np.sqrt((((a - b) / ref.scale) ** 2).sum()))
    return float(np.mean(sorted(found)[:3]))


@pytest.mark.parametrize("metric", ["l1_mean", "euclidean", "cosine"])
def test_blocked_distances_equal_the_definition(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    groups = np.array([f"s{i % 7}" for i in range(30)])
    ref = Reference.fit(rows, groups, metric)
    new = rows[:9] + 0.01
    exclude = groups[:9]
    slow = [_slow_distance(ref, r.astype(np.float32), g) for r, g in zip(new, exclude, strict=True)]
    assert ref.distance(new, exclude) == pytest.approx(slow, abs=1e-5)
    slow = [_slow_distance(ref, r.astype(np.float32), None) for r in new]
    assert ref.distance(new) == pytest.approx(slow, abs=1e-5)


def test_more_rows_than_a_block_are_all_measured() -> None:
    rng = np.random.default_rng(1)
    ref = Reference.fit(rng.normal(size=(8, 2)), np.arange(8), "euclidean")
    new = rng.normal(size=(1300, 2))
    expected = [ref.distance(new[i : i + 1])[0] for i in (0, 511, 512, 1299)]
    assert ref.distance(new)[[0, 511, 512, 1299]] == pytest.approx(expected)


def test_a_copy_of_its_own_source_is_not_made_typical_by_it() -> None:
    rng = np.random.default_rng(2)
    rows, groups = rng.normal(size=(40, 3)), np.repeat(np.arange(10), 4)
    rows[:4] += 50
    ref = Reference.fit(rows, groups, "euclidean")
    assert ref.distance(rows[:1])[0] < 2
    assert ref.distance(rows[:1], groups[:1])[0] > 20


def test_most_real_rows_pass_and_an_outlier_does_not() -> None:
    rng = np.random.default_rng(3)
    ref = Reference.fit(rng.normal(size=(60, 4)), np.arange(60), "euclidean")
    fresh = ref.typicalities(rng.normal(size=(200, 4)))
    assert (fresh >= 0.35).mean() > 0.95
    assert ref.typicalities(np.full((1, 4), 9.0))[0] == 0


def test_a_feature_that_is_not_finite_is_atypical_and_a_lone_source_unknown() -> None:
    ref = Reference.fit(np.eye(4), np.arange(4), "l1_mean")
    assert ref.typicalities(np.array([[np.nan, 0, 0, 0]]))[0] == 0
    only = Reference(
        ref.features, np.array(["a"] * 4), "l1_mean", ref.centre, ref.scale, ref.quantiles
    )
    assert np.isinf(only.distance(np.eye(4)[:1], np.array(["a"]))[0])


def test_it_survives_npz_without_pickle_bit_for_bit() -> None:
    rng = np.random.default_rng(4)
    ref = Reference.fit(rng.normal(size=(12, 3)), np.array(list("abcdefghijkl")), "euclidean")
    file = io.BytesIO()
    np.savez(file, **ref.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        back = Reference.from_arrays(arrays)
    new = rng.normal(size=(5, 3))
    assert back.quantiles == ref.quantiles
    assert np.array_equal(
        back.typicalities(new, np.array(list("abcde"))),
        ref.typicalities(new, np.array(list("abcde"))),
    )


def test_too_few_sources_and_bad_rows_are_refused_with_their_reason() -> None:
    with pytest.raises(BadInput, match=r"Expected at least 4 real images .* but got 3; add images"):
        Reference.fit(np.eye(6), np.array(list("aabbcc")), "l1_mean")
    with pytest.raises(BadInput, match="finite features"):
        Reference.fit(np.full((4, 2), np.nan), np.arange(4), "l1_mean")
    with pytest.raises(ShapeError, match="length 1"):
        Reference.fit(2 * np.eye(4), np.arange(4), "cosine")
    with pytest.raises(ShapeError, match="groups"):
        Reference.fit(np.eye(4), np.arange(3), "l1_mean")
    with pytest.raises(BadParameters, match="metric"):
        Reference.fit(np.eye(4), np.arange(4), "chebyshev")  # type: ignore[arg-type]
    ref = Reference.fit(np.eye(4), np.arange(4), "cosine")
    with pytest.raises(ShapeError, match=r"\(m, 4\)"):
        ref.distance(np.eye(3))
    with pytest.raises(ShapeError, match="one source a row"):
        ref.distance(np.eye(4), np.arange(3))
