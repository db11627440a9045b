"""The scores are the article's sums and the design's trapezoids."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.calibration import Quantiles
from tasks.domain.parameters import ScoreParams
from tasks.domain.scoring import (
    d_clip,
    d_phys,
    d_plaus,
    realism,
    s_i,
    score_reasons,
    utility,
)

REAL = Quantiles(q50=0.05, q95=0.1, q99=0.2, n=50)
DUPLICATE = 0.005
UNIT = st.floats(0, 1)


def test_utility_at_its_knots() -> None:
    distances = (0, 0.005, 0.0275, 0.05, 0.2, 0.3, 0.4, 0.5, float("nan"))
    values = [utility(d, REAL, DUPLICATE) for d in distances]
    assert values == pytest.approx([0, 0, 0.5, 1, 1, 0.5, 0, 0, 0])


@given(st.lists(st.floats(0, 2), min_size=3, max_size=3).map(sorted), st.floats(0, 3))
def test_utility_stays_in_range_rises_then_falls(levels: list[float], d: float) -> None:
    real = Quantiles(q50=levels[0], q95=levels[1], q99=levels[2], n=5)
    values = [utility(x, real, DUPLICATE) for x in np.linspace(0, 5, 60)]
    assert all(0 <= v <= 1 for v in [*values, utility(d, real, DUPLICATE)])
    peak = int(np.argmax(values))
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(values[: peak + 1]))
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values[peak:]))


def test_identical_real_images_leave_no_room_for_novelty() -> None:
    same = Quantiles(q50=0, q95=0, q99=0, n=5)
    assert [utility(d, same, DUPLICATE) for d in (0, 0.005, 0.1)] == [0, 0, 0]


@given(UNIT, UNIT, UNIT, UNIT)
def test_scores_are_convex(a: float, b: float, c: float, weight: float) -> None:
    assert min(a, b) - 1e-9 <= s_i(a, b, weight) <= max(a, b) + 1e-9
    assert min(a, b) - 1e-9 <= d_plaus(a, b, weight) <= max(a, b) + 1e-9
    assert min(a, b) - 1e-9 <= realism(a, b) <= max(a, b) + 1e-9
    assert 1 - max(a, b, c) - 1e-9 <= d_phys(a, b, c) <= 1 - min(a, b, c) + 1e-9


def test_weights_fall_on_the_terms_they_name() -> None:
    assert s_i(0.8, 0.4, 0.75) == pytest.approx(0.7)
    assert d_plaus(0.8, 0.4, 0.75) == pytest.approx(0.7)
    assert realism(0.9, 0.4) == pytest.approx(0.6)
    assert realism(1.0, 0.0) == 0
    assert d_phys(1, 1, 0.4) == pytest.approx(0.2)
    assert d_clip(0.1, REAL) == pytest.approx(0.3)
    assert d_clip(0.4, REAL) == 1


def test_reasons_name_the_score_that_failed() -> None:
    params = ScoreParams()
    assert score_reasons(0.71, 0.5, params) == ()
    assert score_reasons(0.70, 0.5, params) == ("s_i 0.70 <= 0.70 (S_i)",)
    assert score_reasons(0.9, 0.399, params) == ("realism 0.39 < 0.45 (R_i)",)
    assert len(score_reasons(0.1, 0.1, params)) == 2
