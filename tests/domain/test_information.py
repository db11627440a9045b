"""Information against closed forms: uniform, degenerate, the plug-in's bias, gains from outside."""

import numpy as np
import pytest

from tasks.domain.errors import BadInput
from tasks.domain.information import (
    InformationParams,
    cluster_count,
    clusters,
    entropy_gain,
    information,
    miller_madow,
    plug_in_entropy,
    rarity,
)

PARAMS = InformationParams(draws=200)
RNG = np.random.default_rng(0)


def names(*counts: int) -> np.ndarray:
    return np.repeat([f"kind {i}" for i in range(len(counts))], counts)


def ids(count: int, prefix: str = "s") -> np.ndarray:
    return np.array([f"{prefix}{i}" for i in range(count)], dtype=np.str_)


def near(centre: np.ndarray, count: int, spread: float, rng=RNG) -> np.ndarray:
    rows = centre + spread * rng.standard_normal((count, len(centre)))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("categories", [1, 2, 8, 50])
def test_a_uniform_set_has_log2_of_its_categories(categories):
    assert plug_in_entropy(np.full(categories, 7.0)) == pytest.approx(np.log2(categories))


def test_a_degenerate_set_has_none_and_an_empty_one_too():
    assert plug_in_entropy(np.array([9.0, 0.0])) == 0
    assert plug_in_entropy(np.zeros(3)) == 0
    assert miller_madow(np.array([9.0, 0.0])) == 0


def test_rarity_is_the_bits_of_a_share():
    found = rarity(["sound"] * 6 + ["crack"] * 2, ["crack", "rust"])
    assert found == {"sound": pytest.approx(np.log2(8 / 6)), "crack": 2.0, "rust": None}


@pytest.mark.parametrize("share", [np.full(8, 1 / 8), np.array([0.7, 0.1, 0.1, 0.05, 0.05])])
def test_the_plug_in_is_too_low_by_about_the_correction(share):
    counts = np.random.default_rng(1).multinomial(60, share, size=4000).astype(float)
    truth = -(share * np.log2(share)).sum()
    bias = plug_in_entropy(counts).mean() - truth
    expected = -(len(share) - 1) / (2 * 60 * np.log(2))
    assert bias == pytest.approx(expected, rel=0.2)
    left = (plug_in_entropy(counts) + miller_madow(counts)).mean() - truth
    assert abs(left) < 0.25 * abs(bias)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    share = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    truth = -(share * np.log2(share)).sum()
    rng, hits = np.random.default_rng(3), 0
    none = np.zeros(0, dtype=np.str_)
    for trial in range(120):
        kinds = np.array([f"k{i}" for i in rng.choice(5, 80, p=share)])
        found = entropy_gain(
            "kinds", (kinds, ids(80)), (none, none), np.zeros(0, bool), PARAMS, trial
        )
        hits += found.real.bits.low <= truth <= found.real.bits.high
    assert hits / 120 > 0.87


def test_nothing_added_gains_nothing_for_certain():
    kinds, none = names(30, 5), np.zeros(0, dtype=np.str_)
    found = entropy_gain("kinds", (kinds, ids(35)), (none, none), np.zeros(0, bool), PARAMS)
    assert (found.gain.value, found.gain.low, found.gain.high) == (0, 0, 0)
    assert found.outside_share is None


def test_filling_rare_kinds_gains_and_copying_the_common_one_loses():
    real = (names(40, 4), ids(44))
    inside = np.zeros(20, bool)
    filled = entropy_gain("kinds", real, (names(0, 20), ids(20)), inside, PARAMS)
    copied = entropy_gain("kinds", real, (names(20), ids(20)), inside, PARAMS)
    assert filled.gain.low > 0
    assert copied.gain.high < 0
    assert filled.outside_share == 0


def test_rows_of_one_source_widen_the_interval():
    kinds = np.repeat(names(10, 10), 5)
    lone = entropy_gain("k", (kinds, ids(100)), (kinds[:0], kinds[:0]), np.zeros(0, bool), PARAMS)
    shared = entropy_gain(
        "k", (kinds, np.repeat(ids(20), 5)), (kinds[:0], kinds[:0]), np.zeros(0, bool), PARAMS
    )
    width = [one.real.bits.high - one.real.bits.low for one in (lone, shared)]
    assert width[1] > 1.5 * width[0]


def test_clusters_find_planted_groups_and_the_rule_is_kept():
    centres = np.eye(16)[:4]
    rows = np.concatenate([near(centre, 8, 0.02) for centre in centres])
    assert cluster_count(len(rows)) == 4
    found = clusters(rows)
    assert [len(set(found[i : i + 8])) for i in range(0, 32, 8)] == [1, 1, 1, 1]
    assert len(set(found)) == 4
    assert np.array_equal(found, clusters(rows))
    assert set(clusters(np.repeat(rows[:1], 9, axis=0))) == {""}
    assert (cluster_count(1), cluster_count(10**6)) == (2, 32)


def test_a_gain_from_outside_the_real_domain_warns_and_one_from_inside_does_not():
    axes = np.eye(32)
    real = np.concatenate([near(axes[0], 40, 0.05), near(axes[1], 4, 0.05)])
    kinds = names(40, 4)

    def told(rows):
        made = (np.repeat("kind 1", len(rows)), ids(len(rows)), rows)
        return information("v1", (kinds, ids(44), real), made, PARAMS)

    inside, outside = told(near(axes[1], 20, 0.01)), told(near(axes[5], 20, 0.05))
    assert inside.outside == 0
    assert outside.outside == 20
    assert outside.limit < 0.2
    over = {one.over: one for one in outside.gains}
    assert over["clusters"].is_alarming
    assert over["clusters"].outside_share == 1
    assert not any(one.is_alarming for one in inside.gains)
    assert {one.over: one for one in inside.gains}["kinds"].gain.low > 0


def test_too_few_real_images_are_refused():
    rows = near(np.eye(8)[0], 3, 0.1)
    with pytest.raises(BadInput, match="4 real images"):
        information("v1", (names(3), ids(3), rows), (names(3), ids(3), rows), PARAMS)
