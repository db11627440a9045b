"""Exposure: equal budgets whatever the share, exact totals, and no image shown far too often."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.exposure import Exposure, drawn, mix_of

COUNTS = Exposure(ok_real=90, ko_real=7, ko_synthetic=40, ok_placebo=30)


@given(
    share=st.floats(0, 0.5), ko_share=st.floats(0.4, 0.7), placebos=st.floats(0.4, 0.6),
    seed=st.integers(0, 50), batch=st.sampled_from([8, 16, 32]),
)  # fmt: skip
def test_every_arm_has_equal_steps_and_equal_ko_exposures(share, ko_share, placebos, seed, batch):
    ko = round(batch * ko_share)
    mix = mix_of(share, batch, ko / batch, placebos)
    steps = 60
    draws = list(drawn(mix, steps, COUNTS, np.random.default_rng(seed)))
    assert len(draws) == steps
    for draw in draws:
        assert sum(len(rows) for rows in draw.values()) == batch
        assert len(draw["ko_real"]) + len(draw["ko_synthetic"]) == ko
    synthetic = sum(len(draw["ko_synthetic"]) + len(draw["ok_placebo"]) for draw in draws)
    assert synthetic == pytest.approx(share * batch * steps, abs=2)


def test_no_image_is_shown_two_times_more_than_another():
    draws = list(drawn(mix_of(0.3, 32, 0.5, 0.5), 97, COUNTS, np.random.default_rng(0)))
    for name in Exposure.model_fields:
        shown = np.bincount(np.concatenate([draw[name] for draw in draws]))
        assert len(shown) == getattr(COUNTS, name)
        assert shown.max() - shown.min() <= 1


def test_without_a_share_nothing_synthetic_is_drawn():
    counts = Exposure(ok_real=5, ko_real=2, ko_synthetic=0, ok_placebo=0)
    draws = list(drawn(mix_of(0.0, 16, 0.5, 0.5), 10, counts, np.random.default_rng(0)))
    assert all(len(draw["ko_real"]) == 8 for draw in draws)
    assert not any(len(draw["ko_synthetic"]) + len(draw["ok_placebo"]) for draw in draws)


def test_impossible_mixes_are_refused():
    with pytest.raises(BadParameters, match=r"at most 3\.2 synthetic defects"):
        mix_of(0.5, 32, 0.1, 0.0)
    with pytest.raises(BadParameters, match="synthetic images in"):
        mix_of(1.0, 32, 0.5, 0.5)
    nothing = Exposure(ok_real=5, ko_real=0, ko_synthetic=0, ok_placebo=0)
    with pytest.raises(BadInput, match="ko_real"):
        next(drawn(mix_of(0.0, 16, 0.5, 0.0), 1, nothing, np.random.default_rng(0)))
