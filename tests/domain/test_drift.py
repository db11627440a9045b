"""Drift: the divergence's closed forms, its bias, and alarms that mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from tasks.domain.drift import Added, Looks, divergence, drift, js_divergence, spread
from tasks.domain.errors import BadInput
from tasks.domain.parameters import LoopParams

PARAMS = LoopParams(draws=200)
COUNTS = st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any)


@given(COUNTS, COUNTS)
def test_the_divergence_is_scipys_squared_symmetric_and_in_bits(first, second):
    p, q = np.array(first, float), np.array(second, float)
    expected = jensenshannon(p, q, base=2) ** 2
    assert js_divergence(p, q) == pytest.approx(expected, abs=1e-7)
    assert js_divergence(p, q) == pytest.approx(js_divergence(q, p), abs=1e-12)
    assert 0 <= js_divergence(p, q) <= 1


def test_equal_is_0_disjoint_is_1_empty_is_nothing():
    assert js_divergence(np.array([2.0, 4]), np.array([1.0, 2])) == pytest.approx(0)
    assert js_divergence(np.array([3.0, 0]), np.array([0.0, 5])) == pytest.approx(1)
    assert np.isnan(js_divergence(np.zeros(2), np.ones(2)))


def sample(rng, share, count):
    return np.array([f"k{i}" for i in rng.choice(len(share), count, p=share)])


def ids(count, prefix):
    return np.array([f"{prefix}{i}" for i in range(count)])


def test_two_samples_of_one_distribution_are_told_apart_as_rarely_as_promised():
    rng, share = np.random.default_rng(0), [0.4, 0.3, 0.15, 0.1, 0.05]
    above, values = 0, []
    for trial in range(150):
        sides = [(sample(rng, share, n), ids(n, name)) for n, name in ((40, "a"), (60, "b"))]
        found = divergence(*sides, draws=150, seed=trial)
        above += found.low > 0
        values.append(found.value)
    assert above / 150 <= 0.06
    assert np.mean(values) < 0.02  # the plug-in alone says .03


def test_the_interval_finds_a_true_divergence():
    rng, p, q = np.random.default_rng(1), np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
    truth, hits = float(js_divergence(p, q)), 0
    for trial in range(100):
        sides = [(sample(rng, s, 80), ids(80, n)) for s, n in ((p, "a"), (q, "b"))]
        found = divergence(*sides, draws=150, seed=trial)
        hits += found.low <= truth <= found.high
    assert hits >= 86


def test_rows_of_one_source_count_once():
    rng, share = np.random.default_rng(2), [0.5, 0.3, 0.2]
    above = {False: 0, True: 0}
    for trial in range(60):
        left = (sample(rng, share, 60), ids(60, "a"))
        kinds = np.repeat(sample(rng, share, 12), 10)  # twelve sources, ten alike of each
        for is_whole in above:
            groups = np.repeat(ids(12, "b"), 10) if is_whole else ids(120, "b")
            above[is_whole] += divergence(left, (kinds, groups), 150, trial).low > 0
    assert above[True] < 9 < above[False]


def test_an_empty_side_is_refused():
    with pytest.raises(BadInput, match="both sides"):
        divergence((ids(3, "a"), ids(3, "a")), (ids(0, "b"), ids(0, "b")), 50)


def looks(kinds, centre=0, *, angle=0.0, share=0.02, seed=0, known=True, alike=0.3):
    rng = np.random.default_rng(seed)
    count = len(kinds)
    rows = np.eye(16)[centre] + alike * rng.standard_normal((count, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    angles = angle + rng.normal(0, 3, count) if known else np.full(count, np.nan)
    shares = share * np.exp(rng.normal(0, 0.1, count)) if known else np.full(count, np.nan)
    return Looks(np.asarray(kinds), ids(count, f"{seed}-"), rows.astype(np.float32), angles, shares)


def added(version, of, **changes):
    told = {"generation": 0, "fresh": 10, "sources": 10} | changes
    return Added(version=version, looks=of, **told)


KINDS = ["crack"] * 20 + ["pore"] * 20


def alarming(found):
    return {one.measure for one in found.divergences if one.is_alarming}


def test_more_of_the_same_is_no_drift_and_each_planted_drift_is_found():
    real = looks(KINDS, angle=15)
    planted = {
        "v1": looks(KINDS, angle=15, seed=1),
        "v2": looks(["crack"] * 40, angle=15, seed=2),
        "v3": looks(KINDS, angle=75, seed=3),
        "v4": looks(KINDS, angle=15, share=0.2, seed=4),
        "v5": looks(KINDS, angle=15, centre=5, seed=5),
    }
    found = drift(real, [added(name, one) for name, one in planted.items()], PARAMS)
    assert [alarming(one) for one in found] == [
        set(), {"kind"}, {"orientation"}, {"size"}, {"embedding"},
    ]  # fmt: skip
    assert all(d.reference == "real" for one in found for d in one.divergences)
    assert "orientation has drifted from real" in " ".join(found[2].alarms())


def test_kinds_that_nobody_asked_for_are_not_missed():
    real, made = looks([*KINDS, *["burr"] * 40]), looks(KINDS, seed=1)
    (whole,) = drift(real, [added("v1", made)], PARAMS)
    (asked,) = drift(real, [added("v1", made, asked=frozenset({"crack", "pore"}))], PARAMS)
    (lost,) = drift(
        real, [added("v1", looks(["crack"] * 40), asked=frozenset({"crack", "burr"}))], PARAMS
    )
    assert [("kind" in alarming(one)) for one in (whole, asked, lost)] == [True, False, True]


def test_where_real_masks_are_missing_the_first_version_stands_in():
    real = looks(KINDS, known=False)
    versions = [added("v1", looks(KINDS, seed=1)), added("v2", looks(KINDS, angle=60, seed=2))]
    first, second = drift(real, versions, PARAMS)
    assert {d.measure for d in first.divergences} == {"kind", "embedding"}
    assert {d.measure: d.reference for d in second.divergences} == {
        "kind": "real", "embedding": "real", "orientation": "v1", "size": "v1",
    }  # fmt: skip
    assert alarming(second) == {"orientation"}


def test_a_version_of_a_few_images_is_not_measured_and_an_empty_one_neither():
    real = looks(KINDS)
    found = drift(real, [added("v1", looks(KINDS[:3], seed=1)), added("v2", looks([]))], PARAMS)
    assert [one.divergences for one in found] == [(), ()]
    assert found[1].spread is None
    assert [one.version for one in drift(real, [added("v1", looks([]))], PARAMS, ["v9"])] == []


def test_stale_sources_alarm_from_the_floor_on_and_in_a_loop_at_one_half():
    def stale(**changes):
        two = [added("v1", looks([])), added("v2", looks([]), **changes)]
        return drift(looks(KINDS), two, LoopParams(draws=50, min_fresh_share=floor))[1].is_stale

    floor = 0.2
    assert stale(fresh=1)
    assert not stale(fresh=2)
    floor = 0.0
    assert not stale(fresh=0)
    assert stale(fresh=4, generation=1)
    assert not stale(fresh=5, generation=1)


def test_spread_is_0_of_equal_rows_and_nearly_1_of_all_directions():
    axes = np.eye(64, dtype=np.float32)
    assert spread(np.repeat(axes[:1], 5, axis=0)) == pytest.approx(0)
    assert spread(axes) == pytest.approx(1 - 1 / 64)
    assert spread(axes[:1]) is None
