"""The mix: validation costs, standard errors and the one-standard-error rule by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.detection import Price
from tasks.domain.errors import BadInput
from tasks.domain.mix import (
    MixPoint,
    images_wanted,
    mix_point,
    recommended_share,
    targets,
    validation_costs,
)


def point(share: float, cost: float, error: float = 0.1) -> MixPoint:
    return MixPoint(share=share, cost=cost, error=error)


def test_the_smallest_share_within_one_standard_error_of_the_lowest_cost():
    points = [point(0, 0.9), point(0.05, 0.55), point(0.15, 0.42), point(0.3, 0.40, 0.05)]
    assert recommended_share(points) == 0.15
    assert recommended_share([*points[:3], point(0.3, 0.40, 0.2)]) == 0.05
    assert recommended_share([point(0, 0.3), point(0.15, 0.3)]) == 0
    for bad in ([], [point(0, math.nan)]):
        with pytest.raises(BadInput, match="finite costs"):
            recommended_share(bad)


@given(seed=st.integers(0, 50))
def test_the_standard_error_of_single_images_is_the_textbooks(seed):
    costs = np.random.default_rng(seed).exponential(1, 40)
    found = mix_point(0.1, costs, [str(i) for i in range(40)])
    assert found.cost == pytest.approx(costs.mean())
    assert found.error == pytest.approx(costs.std(ddof=1) / math.sqrt(40))


def test_images_of_one_part_do_not_count_as_many():
    costs = np.random.default_rng(0).exponential(1, 50)
    alone = mix_point(0.1, costs, [str(i) for i in range(50)])
    repeated = mix_point(0.1, np.repeat(costs, 4), [str(i) for i in range(50) for _ in range(4)])
    assert repeated.error == pytest.approx(alone.error, rel=0.02)


def test_a_fold_is_judged_by_the_threshold_of_the_others():
    """One fold's scores are shifted: its own threshold would be free of cost, theirs is not."""
    price = Price(fn=10, fp=1, prevalence=0.5)
    scores = np.concatenate(
        [np.r_[np.zeros(50), np.full(50, 10.0)], np.r_[np.zeros(50), np.full(50, 10.0)] - 20]
    )
    is_ko = np.tile(np.repeat([False, True], 50), 2)
    fold = np.repeat([0, 1], 100)
    costs = validation_costs(scores, is_ko, fold, price)
    assert costs[fold == 1].mean() == pytest.approx(0.5 * 10)
    assert validation_costs(scores[:100], is_ko[:100], fold[:100], price).sum() == 0


def test_a_pool_is_grown_to_its_share_and_no_further():
    assert images_wanted(0.15, 850) == 150
    assert targets(0.15, 850, {"crack": 60}, ["crack", "pore", "rust"]) == {"pore": 50, "rust": 50}
    assert targets(0.15, 850, {"crack": 60, "pore": 50}, ["crack", "pore"]) == {
        "crack": 15,
        "pore": 25,
    }
    assert targets(0.15, 17, {"crack": 3}, ["crack"]) == {}
