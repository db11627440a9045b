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
    assert calibration_error(p, is_ko) < 0.01
    assert calibration_error(p + 0.1, is_ko) == pytest.approx(0.1, abs=0.01)
    assert calibration_error(np.ones(10), np.ones(10, bool)) == 0.0
    assert calibration_error(np.ones(10), np.zeros(10, bool)) == 1.0


@given(seed=st.integers(0, 200), n=st.integers(1, 90), bins=st.integers(1, 20))
def test_ece_is_the_slow_sum_over_bins_of_equal_mass(seed, n, bins):
    rng = np.random.default_rng(seed)
    p, is_ko = rng.random(n), rng.random(n) < 0.4
    order = sorted(range(n), key=lambda i: p[i])
    number = min(bins, n)
    sizes = [n // number + (i < n % number) for i in range(number)]
    total, start = 0.0, 0
    for size in sizes:
        rows = order[start : start + size]
        gap = sum(is_ko[i] for i in rows) / size - sum(p[i] for i in rows) / size
        total += size / n * abs(gap)
        start += size
    assert calibration_error(p, is_ko, bins) == pytest.approx(total)
    assert reliability(p, is_ko, bins).count.sum() == n


def test_labels_of_another_length_are_refused():
    with pytest.raises(ShapeError, match="2 probabilities"):
        reliability(np.zeros(3), np.zeros(2, bool))


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
    coverage, risk = risk_coverage(p, is_ko)
    assert coverage == pytest.approx(np.arange(1, n + 1) / n)
    assert risk == pytest.approx(risks)
    assert aurc(p, is_ko) == pytest.approx(np.mean(risks))


def test_abstention_keeps_the_wanted_risk_and_decides_as_much_as_it_can():
    rng = np.random.default_rng(2)
    p = rng.beta(0.4, 0.4, 20_000)
    is_ko = rng.random(len(p)) < p
    limit = abstention_threshold(p, is_ko, 0.02)
    coverage, risk = decided(p, is_ko, limit)
    assert risk <= 0.02
    assert coverage > 0.2
    more, worse = decided(p, is_ko, limit + 0.02)
    assert more > coverage
    assert worse > 0.02
    assert decided(p, is_ko, 1.0) == (1.0, pytest.approx(np.mean((p > 0.5) != is_ko)))
    assert abstention_threshold(np.array([0.9, 0.8]), np.array([False, False]), 0.1) == -1.0
    assert decided(p, is_ko, -1.0) == (0.0, 0.0)


def test_oddness_ranks_the_unsure_and_the_faint_as_odd():
    logits = np.array([[0.0, 9.0], [0.1, 0.0], [5.0, 0.0]])
    p = ko_probability(logits[:, 1] - logits[:, 0], 0.5, 0.5)
    found = oddness(logits, p)
    for name in ("max_probability", "entropy", "energy"):
        assert np.argmax(found[name]) == 1, name
        assert np.argmin(found[name]) == 0, name
    assert found["energy"][1] == pytest.approx(-np.log(np.exp(0.1) + 1))
