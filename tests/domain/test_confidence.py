"""Calibration, doubt and oddness against closed forms and slow loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.confidence import (
    abstention_threshold,
    aurc,
    calibration_error,
    decided,
    entropy_bits,
    ko_probability,
    oddness,
    prevalence_weights,
    reliability,
    risk_coverage,
)
from tasks.domain.errors import ShapeError


def test_prior_correction_gives_bayes_posteriors():
    """Two normal classes: the score learnt at 1:1 becomes the exact posterior at 2 %."""
    x = np.linspace(-3, 5, 50)
    log_ratio = 2 * x - 2  # N(2, 1) over N(0, 1)
    exact = 0.02 * np.exp(log_ratio) / (0.02 * np.exp(log_ratio) + 0.98)
    assert ko_probability(log_ratio, 0.5, 0.02) == pytest.approx(exact)
    skewed = log_ratio + np.log(0.3 / 0.7)
    assert ko_probability(skewed, 0.3, 0.02) == pytest.approx(exact)


def test_calibrated_probabilities_have_no_error_and_shifted_ones_the_shift():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.15, 0.85, 60_000)
    is_ko = rng.random(len(p)) < p
    even = np.ones(len(p))
    assert calibration_error(p, is_ko, even) < 0.01
    assert calibration_error(p + 0.1, is_ko, even) == pytest.approx(0.1, abs=0.01)
    assert calibration_error(np.ones(10), np.ones(10, bool), np.ones(10)) == 0.0
    assert calibration_error(np.ones(10), np.zeros(10, bool), np.ones(10)) == pytest.approx(1.0)


def test_weights_give_a_balanced_test_the_plants_prevalence():
    """A calibrated detector at 2 % stays calibrated when KO parts are tested ten times as often."""
    rng = np.random.default_rng(4)
    is_ko = np.repeat([True, False], [20_000, 80_000])
    x = rng.normal(is_ko * 2.0, 1.0)
    p = ko_probability(2 * x - 2, 0.5, 0.02)
    weight = prevalence_weights(is_ko, 0.02)
    assert weight.sum() == pytest.approx(1.0)
    assert weight[is_ko].sum() == pytest.approx(0.02)
    assert calibration_error(p, is_ko, weight) < 0.003
    assert calibration_error(p, is_ko, np.ones(len(p))) > 0.1


@given(seed=st.integers(0, 200), n=st.integers(1, 90), bins=st.integers(1, 20))
def test_ece_is_the_slow_sum_over_bins_of_equal_mass(seed, n, bins):
    rng = np.random.default_rng(seed)
    p, is_ko, weight = rng.random(n), rng.random(n) < 0.4, rng.uniform(0.2, 2, n)
    members: dict[int, list[int]] = {}
    passed = 0.0
    for i in sorted(range(n), key=lambda i: p[i]):
        middle = (passed + weight[i] / 2) / weight.sum()
        members.setdefault(min(int(bins * middle), bins - 1), []).append(i)
        passed += weight[i]
    total = sum(
        abs(sum(weight[i] * (is_ko[i] - p[i]) for i in rows)) / weight.sum()
        for rows in members.values()
    )
    assert calibration_error(p, is_ko, weight, bins) == pytest.approx(total)
    assert reliability(p, is_ko, weight, bins).mass.sum() == pytest.approx(1.0)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ShapeError, match="2 probabilities, but got 3"):
        reliability(np.zeros(3), np.zeros(2, bool), np.ones(2))


def test_entropy_is_the_articles():
    found = entropy_bits(np.array([0.0, 0.01, 0.5, 0.99, 1.0]))
    assert found == pytest.approx([0.0, 0.0808, 1.0, 0.0808, 0.0], abs=1e-4)


@given(seed=st.integers(0, 100), n=st.integers(2, 40))
def test_risk_over_coverage_is_the_slow_loop(seed, n):
    rng = np.random.default_rng(seed)
    p, is_ko = rng.random(n), rng.random(n) < 0.5
    order = np.argsort(np.abs(p - 0.5))[::-1]
    risks = []
    for k in range(1, n + 1):
        wrong = [(p[i] > 0.5) != is_ko[i] for i in order[:k]]
        risks.append(sum(wrong) / k)
    coverage, risk = risk_coverage(p, is_ko, np.ones(n))
    assert coverage == pytest.approx(np.arange(1, n + 1) / n)
    assert risk == pytest.approx(risks)
    assert aurc(p, is_ko, np.ones(n)) == pytest.approx(np.mean(risks))


def test_abstention_keeps_the_wanted_risk_and_decides_as_much_as_it_can():
    rng = np.random.default_rng(2)
    p = rng.beta(0.4, 0.4, 20_000)
    is_ko = rng.random(len(p)) < p
    even = np.ones(len(p))
    limit = abstention_threshold(p, is_ko, even, 0.02)
    coverage, risk = decided(p, is_ko, even, limit)
    assert risk <= 0.02
    assert coverage > 0.2
    more, worse = decided(p, is_ko, even, limit + 0.02)
    assert more > coverage
    assert worse > 0.02
    assert decided(p, is_ko, even, 1.0) == (1.0, pytest.approx(np.mean((p > 0.5) != is_ko)))
    assert abstention_threshold(np.array([0.9, 0.8]), np.zeros(2, bool), np.ones(2), 0.1) == -1.0
    assert decided(p, is_ko, even, -1.0) == (0.0, 0.0)


def test_oddness_ranks_the_unsure_and_the_faint_as_odd():
    logits = np.array([[0.0, 9.0], [0.1, 0.0], [5.0, 0.0]])
    p = ko_probability(logits[:, 1] - logits[:, 0], 0.5, 0.5)
    found = oddness(logits, p)
    for name in ("max_probability", "entropy", "energy"):
        assert np.argmax(found[name]) == 1, name
        assert np.argmin(found[name]) == 0, name
    assert found["energy"][1] == pytest.approx(-np.log(np.exp(0.1) + 1))
