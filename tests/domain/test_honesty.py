"""Planted traces are found, a source never tests its own model, each gate names its fault."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.honesty import (
    ablation_drop,
    honesty_reasons,
    placebo_rise,
    real_vs_synthetic,
    weighted_auc,
)
from tasks.domain.parameters import HonestParams

PARAMS = HonestParams()
SOURCES = np.array([f"s{i:02d}" for i in range(24)])


def zones(seed: int, shift: float = 0.0, p: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(96, p)) + shift


GROUPS = np.repeat(SOURCES, 4)


def test_planted_traces_are_found_and_alarm() -> None:
    report = real_vs_synthetic(zones(0), GROUPS, zones(1, 1.0), GROUPS, seed=0)
    assert report.auc > 0.95
    assert 0.9 < report.auc_low <= report.auc <= report.auc_high <= 1
    assert report.is_alarming(PARAMS)
    assert report.p_synthetic.mean() > 0.8


def test_edits_like_the_real_ones_are_not_suspected() -> None:
    aucs = [
        real_vs_synthetic(zones(s), GROUPS, zones(s + 50), GROUPS, seed=s).auc for s in range(8)
    ]
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.06)
    report = real_vs_synthetic(zones(0), GROUPS, zones(50), GROUPS, seed=0)
    assert (report.p_synthetic > PARAMS.max_synthetic_probability).mean() < 0.02


def test_a_source_is_never_in_training_and_test_at_once() -> None:
    # A signature a source, nothing else: any fold that split a source would score near 1.
    signature = np.random.default_rng(0).normal(size=(48, 60))
    names = np.array([f"g{i:02d}" for i in range(48)])
    real, synth = np.repeat(signature[:24], 4, axis=0), np.repeat(signature[24:], 4, axis=0)
    report = real_vs_synthetic(
        real, np.repeat(names[:24], 4), synth, np.repeat(names[24:], 4), seed=3
    )
    assert report.auc < 0.75


def test_the_interval_narrows_with_sources_and_not_with_copies_of_rows() -> None:
    real, synth = zones(0), zones(1, 0.25)
    whole = real_vs_synthetic(real, GROUPS, synth, GROUPS, seed=0)
    third = real_vs_synthetic(real[:32], GROUPS[:32], synth[:32], GROUPS[:32], seed=0)
    copies = real_vs_synthetic(*(np.repeat(a, 5, axis=0) for a in (real, GROUPS, synth, GROUPS)), 0)
    assert whole.auc_low < whole.auc < whole.auc_high
    assert third.auc_high - third.auc_low > 1.3 * (whole.auc_high - whole.auc_low)
    assert copies.auc_high - copies.auc_low > 0.75 * (whole.auc_high - whole.auc_low)


def test_sizes_of_the_classes_do_not_tilt_the_probability() -> None:
    few = real_vs_synthetic(zones(0), GROUPS, zones(1)[::4], GROUPS[::4], seed=0)
    assert few.p_synthetic.mean() == pytest.approx(0.5, abs=0.1)


def test_the_same_seed_gives_the_same_report() -> None:
    one, two = (real_vs_synthetic(zones(0), GROUPS, zones(1, 0.3), GROUPS, 7) for _ in range(2))
    assert (one.auc, one.auc_low, one.auc_high) == (two.auc, two.auc_low, two.auc_high)
    assert np.array_equal(one.p_synthetic, two.p_synthetic)


@pytest.mark.parametrize("rows", [0, 4, 12])
def test_too_few_sources_refuse_nothing_and_say_so(rows: int) -> None:
    report = real_vs_synthetic(zones(0), GROUPS, zones(1, 9.0)[:rows], GROUPS[:rows], seed=0)
    assert math.isnan(report.auc)
    assert not report.is_alarming(PARAMS)
    assert f"got {rows // 4}" in str(report.reason)
    assert report.p_synthetic.shape == (rows,)
    for p in report.p_synthetic:
        assert honesty_reasons(float(p), 1.0, math.nan, False, PARAMS) == ()


@given(st.integers(0, 5000), st.integers(2, 30))
def test_weighted_auc_is_the_auc_of_repeated_rows(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, n) / 5  # with ties
    positive, times = rng.uniform(size=n) < 0.5, rng.integers(0, 4, (3, n))
    for weight, found in zip(times, weighted_auc(scores, positive, times), strict=True):
        repeated, labels = np.repeat(scores, weight), np.repeat(positive, weight)
        if len(set(labels.tolist())) < 2:
            assert math.isnan(found)
        else:
            assert found == pytest.approx(roc_auc_score(labels, repeated))


def test_each_fault_has_its_reason() -> None:
    assert honesty_reasons(0.5, 0.2, math.nan, False, PARAMS) == ()
    assert honesty_reasons(0.5, math.nan, 0.1, True, PARAMS) == ()
    assert honesty_reasons(0.5, 0.019, 0.0, False, PARAMS) == (
        "ablation: KO score falls by 0.01 < 0.05 when the region is restored, "
        "the edit shows no defect",
    )
    (placebo,) = honesty_reasons(0.5, 0.0, 0.301, True, PARAMS)
    assert placebo.startswith("placebo: KO score rises by 0.31 > 0.25")
    artifact, ablation = honesty_reasons(0.951, -0.2, 0.9, False, PARAMS)
    assert artifact.startswith("artifact: P(synthetic) 0.96 > 0.95")
    assert ablation.startswith("ablation: KO score falls by -0.20")


def test_limits_themselves_pass_and_nan_figures_do_not() -> None:
    assert honesty_reasons(0.95, 0.05, 0.0, False, PARAMS) == ()
    assert honesty_reasons(0.95, 0.0, 0.25, True, PARAMS) == ()
    assert len(honesty_reasons(0.1, math.nan, 0.0, False, PARAMS)) == 1
    assert len(honesty_reasons(0.1, 0.0, math.nan, True, PARAMS)) == 1


def test_drop_and_rise_are_signed_differences() -> None:
    after, before = np.array([0.9, 0.2], np.float32), np.array([0.1, 0.5], np.float32)
    assert ablation_drop(after, before) == pytest.approx([0.8, -0.3])
    assert placebo_rise(after, before) == pytest.approx([0.8, -0.3])


def test_bad_input_is_named() -> None:
    broken = zones(0)
    broken[3, 2] = np.nan
    with pytest.raises(BadInput, match="finite edited"):
        real_vs_synthetic(zones(0), GROUPS, broken, GROUPS, 0)
    with pytest.raises(ShapeError, match="real features"):
        real_vs_synthetic(zones(0), GROUPS[:5], zones(1), GROUPS, 0)
    with pytest.raises(ShapeError, match="alike"):
        real_vs_synthetic(zones(0), GROUPS, zones(1, p=5), GROUPS, 0)
