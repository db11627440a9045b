"""KID against double loops and closed forms; unbiased, paired, and covered by its interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.kid import kid, kid_difference

DIM = 6


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sample(rng: np.random.Generator, sources: int, each: int, shift: float = 0.0):
    """Unit rows about (1 + shift, 1, ...), sources apart from each other, and their names."""
    centre = np.ones(DIM)
    centre[0] += shift
    own = np.repeat(rng.normal(0, 0.4, (sources, DIM)), each, axis=0)
    rows = unit(centre + own + rng.normal(0, 0.2, (sources * each, DIM)))
    return rows, np.repeat([f"s{rng.integers(10**9)}" for _ in range(sources)], each)


def slow(real, made, real_groups, made_groups) -> float:
    """The definition, pair by pair, on rows scaled by sqrt(d)."""

    def mean(x, gx, y, gy):
        pairs = [
            (np.dot(a, b) * DIM / DIM + 1) ** 3
            for a, ga in zip(x, gx, strict=True)
            for b, gb in zip(y, gy, strict=True)
            if ga != gb
        ]
        return np.mean(pairs)

    return float(
        mean(real, real_groups, real, real_groups)
        + mean(made, made_groups, made, made_groups)
        - 2 * mean(real, real_groups, made, made_groups)
    )


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 5), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_it_is_the_mean_over_pairs_of_different_sources(seed, n, m, each):
    rng = np.random.default_rng(seed)
    (real, left), (made, right) = sample(rng, n, each), sample(rng, m, each)
    right[:each] = left[:each]  # a candidate of a real window's own source
    assert kid(real, made, left, right) == pytest.approx(slow(real, made, left, right))
    rows = range(n * each), range(100, 100 + m * each)
    assert kid(real, made) == pytest.approx(slow(real, made, *rows))


def test_closed_forms():
    axes = np.eye(8)
    assert kid(axes[:4], axes[4:]) == pytest.approx(0)  # all pairs are orthogonal
    assert kid(axes[[0, 0]], axes[[1, 1]]) == pytest.approx(8 + 8 - 2)
    assert kid(axes[[0, 0]], -axes[[0, 0]]) == pytest.approx(16)


def test_two_samples_of_one_distribution_are_at_zero_in_the_mean_and_a_shifted_one_is_further():
    rng = np.random.default_rng(0)

    def values(shift: float) -> np.ndarray:
        pairs = [(sample(rng, 6, 4), sample(rng, 9, 4, shift)) for _ in range(300)]
        return np.array([kid(x, y, gx, gy) for (x, gx), (y, gy) in pairs])

    same, near, far = values(0.0), values(0.5), values(1.0)
    assert abs(same.mean()) < 3 * same.std() / np.sqrt(300)
    assert same.mean() < near.mean() < far.mean()


def test_the_draws_centre_on_the_value_however_few_the_sources():
    # A row drawn twice must not pair with itself: k(x, x) = 8 would lift every draw.
    rng = np.random.default_rng(1)
    shifts, widths = [], []
    for seed in range(20):
        (real, groups), (made, sources) = sample(rng, 5, 1), sample(rng, 5, 1, 1.5)
        a, _, _ = kid_difference(real, groups, made, sources, made, sources, 400, seed)
        shifts.append((a.low + a.high) / 2 - a.value)
        widths.append(a.high - a.low)
    assert abs(np.mean(shifts)) < 0.15 * np.mean(widths)


def test_the_interval_of_the_difference_covers_the_truth():
    rng = np.random.default_rng(2)
    crowd = [sample(rng, 1500, 1, shift)[0] for shift in (0.0, 0.4, 1.2)]
    truth = kid(crowd[0], crowd[1]) - kid(crowd[0], crowd[2])
    covered, below = 0, 0
    for seed in range(60):
        real, a, b = (sample(rng, 14, 3, shift) for shift in (0.0, 0.4, 1.2))
        _, _, difference = kid_difference(*real, *a, *b, draws=200, seed=seed)
        covered += difference.low <= truth <= difference.high
        below += difference.high < 0
    assert covered >= 53
    assert below >= 30  # and it is narrow enough to tell


def test_the_draws_are_shared_so_that_a_set_does_not_differ_from_itself():
    rng = np.random.default_rng(3)
    real, made = sample(rng, 6, 2), sample(rng, 8, 2)
    a, b, difference = kid_difference(*real, *made, *made, draws=100, seed=4)
    assert a == b
    assert a.low < a.value < a.high
    assert difference.value == difference.low == difference.high == 0


def test_copies_of_rows_do_not_narrow_the_interval():
    rng = np.random.default_rng(5)
    sets = [sample(rng, 8, 1, shift) for shift in (0.0, 0.2, 1.0)]
    once = kid_difference(*(x for one in sets for x in one), draws=300, seed=0)[2]
    copied = [np.repeat(x, 4, axis=0) for one in sets for x in one]
    again = kid_difference(*copied, draws=300, seed=0)[2]
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high))


def test_bad_input_is_named():
    rng = np.random.default_rng(6)
    rows, names = sample(rng, 4, 1)
    with pytest.raises(ShapeError, match="real rows of length 1"):
        kid(2 * rows, rows)
    with pytest.raises(ShapeError, match="one width"):
        kid(rows, unit(rows[:, :3]))
    with pytest.raises(ShapeError, match="groups"):
        kid(rows, rows, names[:2], names)
    with pytest.raises(BadInput, match="2 sources or more"):
        kid(rows, rows, np.repeat("one", 4), names)
