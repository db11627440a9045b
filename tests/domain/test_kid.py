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


def slow_mean(x, gx, y, gy) -> float:
    """Mean kernel over pairs of different sources, on rows scaled by sqrt(d); nan without any."""
    pairs = [
        (np.dot(a, b) * DIM / DIM + 1) ** 3
        for a, ga in zip(x, gx, strict=True)
        for b, gb in zip(y, gy, strict=True)
        if ga != gb
    ]
    return float(np.mean(pairs)) if pairs else np.nan


def slow(real, made, real_groups, made_groups, real_kinds=None, made_kinds=None) -> float:
    """The definition, kind by kind and pair by pair."""
    real_kinds = ["k"] * len(real) if real_kinds is None else list(real_kinds)
    made_kinds = ["k"] * len(made) if made_kinds is None else list(made_kinds)

    def within(rows, groups):
        is_one = len(set(groups)) == 1
        names = range(len(rows)) if is_one else groups
        return slow_mean(rows, names, rows, names)

    values = []
    for kind in set(real_kinds) & set(made_kinds):
        i = [at for at, own in enumerate(real_kinds) if own == kind]
        j = [at for at, own in enumerate(made_kinds) if own == kind]
        left, right = [real_groups[at] for at in i], [made_groups[at] for at in j]
        apart = slow_mean(real[i], left, made[j], right)
        values.append(within(real[i], left) + within(made[j], right) - 2 * apart)
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_it_is_the_mean_over_pairs_of_different_sources(seed, n, m, each):
    rng = np.random.default_rng(seed)
    (real, left), (made, right) = sample(rng, n, each), sample(rng, m, each)
    right[:each] = left[:each]  # a candidate of a real window's own source
    expected = slow(real, made, left, right)
    assert kid(real, made, left, right) == pytest.approx(expected, nan_ok=True)
    rows = range(n * each), range(100, 100 + m * each)
    assert kid(real, made) == pytest.approx(slow(real, made, *rows), nan_ok=True)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_kinds_are_compared_like_with_like_and_weigh_the_same(seed, n, m, each):
    rng = np.random.default_rng(seed)
    (real, left), (made, right) = sample(rng, n, each), sample(rng, m, each)
    kinds = (
        rng.choice(["crack", "pores", "toe"], n * each),
        rng.choice(["crack", "pores"], m * each),
    )
    if not set(kinds[0]) & set(kinds[1]):
        with pytest.raises(BadInput, match="one kind at least"):
            kid(real, made, left, right, *kinds)
        return
    expected = slow(real, made, left, right, *kinds)
    assert kid(real, made, left, right, *kinds) == pytest.approx(expected, nan_ok=True)


def two_kinds(rng: np.random.Generator, sources: int, each: int, shift: float = 0.0):
    """Rows, sources and kinds of two kinds far apart, a source shows one kind alone."""
    count = 2 * sources
    own = np.eye(DIM)[np.repeat([0, 1], sources)] + rng.normal(0, 0.15, (count, DIM))
    own[:, 2] += shift
    rows = unit(np.repeat(own, each, axis=0) + rng.normal(0, 0.1, (count * each, DIM)))
    names = np.array([f"s{number}" for number in rng.integers(10**9, size=count)])
    return rows, np.repeat(names, each), np.repeat(["crack", "pores"], sources * each)


def differing(real, a, b, draws=200, seed=0):
    """`kid_difference` of three (rows, groups, kinds)."""
    sides = [part for side in (real, a, b) for part in side[:2]]
    return kid_difference(*sides, draws, seed, real[2], a[2], b[2])


def test_two_kinds_of_one_source_each_are_nothing_to_marvel_at():
    # All real pairs of different sources are of different kinds: taken together they lie apart.
    rng = np.random.default_rng(7)
    real, near, far = (two_kinds(rng, n, 12, s) for n, s in ((1, 0.0), (6, 0.0), (6, 1.5)))
    assert kid(real[0], near[0], real[1], near[1]) < -0.3
    assert kid(real[0], near[0], real[1], near[1], real[2], near[2]) > 0
    of_near, of_far, difference = differing(real, near, far)
    assert 0 < of_near.value < of_far.value
    assert difference.low <= difference.value <= difference.high < 0
    assert difference.low < difference.high


def test_a_single_real_source_puts_the_distance_too_high_and_leaves_the_difference_unbiased():
    rng = np.random.default_rng(8)
    crowd = [two_kinds(rng, 400, 1, shift) for shift in (0.0, 0.3, 1.2)]
    truth = [kid(crowd[0][0], one[0], None, None, crowd[0][2], one[2]) for one in crowd[1:]]
    found = np.array(
        [
            [e.value for e in differing(*(two_kinds(rng, n, 3, s) for n, s in plan), draws=1)]
            for plan in [((1, 0.0), (8, 0.3), (8, 1.2))] * 300
        ]
    )
    mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(len(found))
    assert mean[0] > truth[0] + 5 * error[0]
    assert mean[1] > truth[1] + 5 * error[1]
    assert abs(mean[2] - (truth[0] - truth[1])) < 3 * error[2]


def test_the_difference_does_not_depend_on_the_real_rows_own_term():
    # A real row's part that is orthogonal to all that was made enters its own term alone.
    rng = np.random.default_rng(9)
    (a, b), groups = (two_kinds(rng, 5, 3, shift) for shift in (0.0, 1.0)), np.repeat(["p", "q"], 4)
    wide_a, wide_b = ((np.pad(rows, ((0, 0), (0, 8))), *rest) for rows, *rest in (a, b))
    seen = 0.8 * two_kinds(rng, 1, 4)[0]
    alike, apart = (np.hstack([seen, 0.6 * np.eye(8)[at]]) for at in ([0] * 8, list(range(8))))
    kinds = np.repeat(["crack", "pores"], 4)
    first = differing((alike, groups, kinds), wide_a, wide_b)
    other = differing((apart, groups, kinds), wide_a, wide_b)
    assert first[0].value > other[0].value + 0.1
    assert first[2] == other[2]


def test_one_real_row_a_kind_gives_a_difference_but_no_distance():
    rng = np.random.default_rng(10)
    real, a, b = (two_kinds(rng, n, k, s) for n, k, s in ((1, 1, 0.0), (5, 3, 0.0), (5, 3, 1.2)))
    of_a, of_b, difference = differing(real, a, b)
    assert np.isnan([of_a.value, of_a.low, of_b.value, of_b.high]).all()
    twice = tuple(np.repeat(part, 2, axis=0) for part in real)
    assert (difference.value, difference.low, difference.high) == pytest.approx(
        [getattr(differing(twice, a, b)[2], name) for name in ("value", "low", "high")]
    )
    assert difference.high < 0


def test_a_kind_whose_source_is_not_drawn_is_left_out_for_both():
    # One source a kind: a draw holds crack, pores, or both; made rows are drawn whole and alike.
    real = np.eye(4)[[0, 0, 1, 1]], np.repeat(["p", "q"], 2), np.repeat(["crack", "pores"], 2)
    made = np.array(["s", "t", "s", "t"]), np.repeat(["crack", "pores"], 2)
    a = np.eye(4)[[0, 0, 2, 2]], *made
    b = np.eye(4)[[2, 2, 2, 2]], *made
    _, _, difference = differing(real, a, b, draws=400)
    assert difference.value == pytest.approx(-7.0)  # crack -14, pores 0
    assert (difference.low, difference.high) == pytest.approx((-14.0, 0.0))


def test_kinds_that_a_side_lacks_do_not_matter():
    rng = np.random.default_rng(11)
    real, a, b = (two_kinds(rng, 4, 2, shift) for shift in (0.0, 0.2, 1.0))
    only = [tuple(part[:8] for part in side) for side in (real, a, b)]
    crack = differing(*only)
    assert differing(real, only[1], b) == crack
    assert differing(real, a, only[2]) == crack
    assert differing(only[0], a, b) == crack


def test_what_was_made_from_one_source_alone_still_has_an_interval():
    rng = np.random.default_rng(12)
    sets = [two_kinds(rng, 6, 3, shift) for shift in (0.0, 0.0, 1.5)]
    real, a, b = ((rows, np.full(len(rows), name), kinds)
                  for (rows, _, kinds), name in zip(sets, "xyy", strict=True))  # fmt: skip
    of_a, of_b, difference = differing(real, a, b)
    assert of_a.low < of_a.high
    assert of_b.low < of_b.high
    assert difference.low < difference.value < difference.high < 0
    assert differing(real, a, a)[2].model_dump() == {"value": 0, "low": 0, "high": 0}


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
    with pytest.raises(ShapeError, match="kinds"):
        kid(rows, rows, names, names, names[:2], names)
    with pytest.raises(BadInput, match="real ones of none"):
        kid(rows[:0], rows)
    with pytest.raises(BadInput, match="real ones of a, b and made ones of c"):
        kid(rows, rows, None, None, np.array(list("abab")), np.array(list("cccc")))
