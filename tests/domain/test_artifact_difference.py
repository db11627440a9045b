"""Of two sets of edits the one with fewer traces is told, on shared draws; equal ones are equal."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tasks.domain.artifact_difference import auc_difference
from tasks.domain.honesty import artifact_probability, real_vs_synthetic

GROUPS = np.repeat([f"s{i:02d}" for i in range(24)], 4)


def zones(seed: int, shift: float = 0.0, base: np.ndarray | None = None) -> np.ndarray:
    own = 0 if base is None else base
    return own + np.random.default_rng(seed).normal(size=(96, 6)) + shift


def test_the_set_with_fewer_traces_has_the_lower_auc():
    a, b, difference = auc_difference(
        zones(0), GROUPS, zones(1, 0.1), GROUPS, zones(2, 1.0), GROUPS, 200, 0
    )
    assert difference.high < 0
    assert difference.value == pytest.approx(a.value - b.value)
    for one in (a, b, difference):
        assert one.low <= one.value <= one.high
    assert a.value == pytest.approx(
        real_vs_synthetic(zones(0), GROUPS, zones(1, 0.1), GROUPS, 0).auc
    )


def test_a_set_does_not_differ_from_itself_and_two_like_ones_not_for_sure():
    made = zones(1, 0.4)
    a, b, difference = auc_difference(zones(0), GROUPS, made, GROUPS, made, GROUPS, 100, 3)
    assert a == b
    assert difference.low == difference.high == 0
    told = 0
    for seed in range(10):
        pair = (zones(10 + seed, 0.4), GROUPS, zones(50 + seed, 0.4), GROUPS)
        found = auc_difference(zones(0), GROUPS, *pair, 200, seed)[2]
        told += not found.low <= 0 <= found.high
    assert told <= 2


def test_shared_draws_make_the_difference_narrower():
    made = zones(1, 0.5)
    other = made + np.random.default_rng(2).normal(0, 0.1, made.shape)
    a, b, difference = auc_difference(zones(0), GROUPS, made, GROUPS, other, GROUPS, 300, 0)
    apart = math.hypot(a.high - a.low, b.high - b.low)
    assert difference.high - difference.low < 0.6 * apart


def test_too_few_sources_are_not_a_number():
    few = (zones(1)[:12], GROUPS[:12])
    for one in auc_difference(zones(0), GROUPS, *few, zones(2), GROUPS, 50, 0):
        assert math.isnan(one.value)
        assert math.isnan(one.high)


def test_the_probabilities_are_those_of_the_report_real_rows_first():
    both = artifact_probability(zones(0), GROUPS, zones(1, 0.7)[:40], GROUPS[:40], 5)
    report = real_vs_synthetic(zones(0), GROUPS, zones(1, 0.7)[:40], GROUPS[:40], 5)
    assert both[96:] == pytest.approx(report.p_synthetic)
    assert roc_auc_score(np.arange(136) >= 96, both) == pytest.approx(report.auc)
    reason = artifact_probability(zones(0)[:4], GROUPS[:4], zones(1), GROUPS, 5)
    assert reason == real_vs_synthetic(zones(0)[:4], GROUPS[:4], zones(1), GROUPS, 5).reason
