"""The quantile function turns Wasserstein-1 into a mean absolute difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.histogram import intensity_quantiles

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.floats(0, 60), st.floats(1, 40))
def test_the_mean_difference_is_the_wasserstein_distance(
    seed: int, shift: float, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    a = np.clip(rng.normal(100, 20, (60, 60)), 0, 255).astype(np.float32)
    b = np.clip(rng.normal(100 + shift, spread, (60, 60)), 0, 255).astype(np.float32)
    mask = np.ones((60, 60), bool)
    ours = np.abs(intensity_quantiles(a, mask) - intensity_quantiles(b, mask)).mean()
    assert ours == pytest.approx(wasserstein_distance(a.ravel(), b.ravel()), abs=0.5)


@given(SEEDS, st.floats(-20, 20))
def test_a_shift_moves_every_quantile_and_only_the_mask_counts(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    grey = rng.uniform(50, 200, (30, 30)).astype(np.float32)
    mask = np.zeros((30, 30), bool)
    mask[5:20, 4:25] = True
    quantiles = intensity_quantiles(grey, mask)
    assert quantiles.shape == (64,)
    assert (np.diff(quantiles) >= 0).all()
    moved = np.where(mask, grey + np.float32(shift), 0).astype(np.float32)
    assert np.allclose(intensity_quantiles(moved, mask), quantiles + shift, atol=1e-3)


def test_an_empty_mask_and_another_grid_are_refused() -> None:
    with pytest.raises(BadInput, match="bead mask"):
        intensity_quantiles(np.zeros((4, 4), np.float32), np.zeros((4, 4), bool))
    with pytest.raises(ShapeError):
        intensity_quantiles(np.zeros((4, 4), np.float32), np.ones((4, 5), bool))
