"""Ranks, operating points and prices against closed forms and slow references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score, roc_curve

from tasks.domain.detection import (
    Price,
    auroc,
    average_precision,
    cost_optimal_threshold,
    expected_cost,
    f1_at,
    false_alarms_at,
    part_costs,
    precision_at,
    recall_at,
    require_scores,
    threshold_at,
)
from tasks.domain.errors import BadInput, ShapeError


def sample(seed: int, n: int = 200, ties: bool = False):
    rng = np.random.default_rng(seed)
    is_ko = rng.random(n) < 0.3
    is_ko[:2] = [True, False]
    scores = rng.normal(is_ko * 1.5, 1.0)
    return (np.round(scores) if ties else scores), is_ko


@given(seed=st.integers(0, 300), ties=st.booleans(), cut=st.floats(-2, 3))
def test_counts_agree_with_scikit_learn(seed, ties, cut):
    scores, is_ko = sample(seed, ties=ties)
    flagged = scores > cut
    assert recall_at(scores, is_ko, cut) == pytest.approx(recall_score(is_ko, flagged))
    expected = precision_score(is_ko, flagged, zero_division=1.0)
    assert precision_at(scores, is_ko, cut) == pytest.approx(expected)
    assert f1_at(scores, is_ko, cut) == pytest.approx(f1_score(is_ko, flagged, zero_division=0.0))
    assert auroc(scores, is_ko) == pytest.approx(roc_auc_score(is_ko, scores))


@given(seed=st.integers(0, 300), rate=st.floats(0.0, 0.5), ties=st.booleans())
def test_the_operating_point_is_the_best_one_allowed(seed, rate, ties):
    scores, is_ko = sample(seed, ties=ties)
    threshold = threshold_at(scores, is_ko, rate)
    assert false_alarms_at(scores, is_ko, threshold) <= rate + 1e-9
    alarms, recall, _ = roc_curve(is_ko, scores, drop_intermediate=False)
    best = recall[alarms <= rate + 1e-9].max()
    assert recall_at(scores, is_ko, threshold) == pytest.approx(best)


def test_auroc_and_ap_of_separated_and_of_random_scores():
    is_ko = np.repeat([True, False], [30, 70])
    assert auroc(is_ko.astype(float), is_ko) == 1.0 == average_precision(is_ko * 1.0, is_ko)
    assert auroc(np.zeros(100), is_ko) == 0.5
    assert average_precision(np.zeros(100), is_ko) == pytest.approx(0.3)


def test_expected_cost_is_priced_at_the_plants_prevalence_not_the_tests():
    is_ko = np.repeat([True, False], [10, 10])
    scores = np.concatenate([np.r_[np.zeros(4), np.ones(6)], np.r_[np.zeros(9), 1.0]])
    price = Price(fn=100, fp=2, prevalence=0.02)
    assert expected_cost(scores, is_ko, 0.5, price) == pytest.approx(
        0.02 * 100 * 0.4 + 0.98 * 2 * 0.1
    )
    assert part_costs(scores, is_ko, 0.5, price).mean() == pytest.approx(
        expected_cost(scores, is_ko, 0.5, price)
    )


def test_the_cost_optimal_threshold_of_two_normal_classes_is_the_closed_form():
    """N(0, 1) and N(d, 1): the likelihood ratio is the ratio of prices at d/2 + ln(ratio) / d."""
    rng = np.random.default_rng(0)
    n, apart = 4000, 2.0
    scores = np.concatenate([rng.normal(0, 1, n), rng.normal(apart, 1, n)])
    is_ko = np.repeat([False, True], n)
    for price in (Price(100, 1, 0.02), Price(1, 1, 0.5), Price(10, 1, 0.02)):
        ratio = (1 - price.prevalence) * price.fp / (price.prevalence * price.fn)
        best = apart / 2 + np.log(ratio) / apart
        found = cost_optimal_threshold(scores, is_ko, price)
        assert found == pytest.approx(best, abs=0.25)
        least = (1 - price.prevalence) * price.fp * norm.sf(best) + (
            price.prevalence * price.fn * norm.cdf(best - apart)
        )
        assert expected_cost(scores, is_ko, found, price) == pytest.approx(least, rel=0.06)


def test_few_defects_keep_the_threshold_at_a_distance_and_save_money_on_new_parts():
    price, rng = Price(100, 1, 0.02), np.random.default_rng(1)
    fresh = np.concatenate([rng.normal(0, 1, 5000), rng.normal(4, 1, 5000)])
    fresh_ko = np.repeat([False, True], 5000)
    kernel, empirical = [], []
    for _ in range(60):
        ok, ko = rng.normal(0, 1, 1000), rng.normal(4, 1, 15)
        scores, is_ko = np.concatenate([ok, ko]), np.repeat([False, True], [1000, 15])
        edges = np.unique(scores)
        costs = [expected_cost(scores, is_ko, edge, price) for edge in edges]
        kernel.append(cost_optimal_threshold(scores, is_ko, price))
        empirical.append(edges[int(np.argmin(costs))])
    prices = [
        np.mean([expected_cost(fresh, fresh_ko, t, price) for t in found])
        for found in (kernel, empirical)
    ]
    assert prices[0] < 0.8 * prices[1]


def test_scores_that_cannot_be_measured_are_refused_with_the_reason():
    is_ko = np.array([True, False, True])
    with pytest.raises(BadInput, match="1 of 3 are NaN"):
        require_scores(np.array([0.0, np.nan, 1.0]), is_ko)
    with pytest.raises(BadInput, match="3 KO of 3"):
        require_scores(np.zeros(3), np.ones(3, bool))
    with pytest.raises(ShapeError, match="3 scores"):
        require_scores(np.zeros(2), is_ko)


def test_shuffled_labels_give_chance():
    rng = np.random.default_rng(3)
    scores, is_ko = sample(5, n=4000)
    found = auroc(scores, rng.permutation(is_ko))
    assert found == pytest.approx(0.5, abs=0.04)
    assert roc_auc_score(is_ko, scores) > 0.8
