"""Grain is measured where the image is flat, and grain drawn anew or smoothed away shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.noise import RESIDUAL_FEATURES, flattest_half, grain_sigma, residual_features

ZONE = np.zeros((96, 96), bool)
ZONE[30:62, 30:62] = True
LOG_RATIO = 1


def _scene(seed: int, sigma: float) -> np.ndarray:
    """Grain on a shaded scene with a dark crack through the zone, (96, 96, 3) float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96]
    scene = 120 + 30 * np.sin(x / 15) + 20 * np.cos(y / 20)
    scene = scene - 70 * (np.abs(y - 46 - 3 * np.sin(x / 5)) < 2)
    return (scene[..., None] + rng.normal(0, sigma, (96, 96, 3))).astype(np.float32)


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_the_grain_of_a_scene_with_a_crack_is_found(sigma: float) -> None:
    grey = _scene(0, sigma)[..., 0]
    assert grain_sigma(grey, ZONE) == pytest.approx(sigma, rel=0.2)


def test_a_clean_ramp_has_no_grain_and_clipped_pixels_do_not_dilute_it() -> None:
    ramp = np.tile(np.arange(96, dtype=np.float32) * 2, (96, 1))
    assert grain_sigma(ramp, ZONE) == pytest.approx(0, abs=1e-4)
    rng = np.random.default_rng(1)
    grey = np.full((96, 96), 120.0) + rng.normal(0, 4, (96, 96))
    grey[:, :60] = 255
    assert grain_sigma(grey.astype(np.float32), np.ones((96, 96), bool)) == pytest.approx(
        4, rel=0.2
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_flattest_half_is_half_of_the_mask_and_flatter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grey = ndimage.gaussian_filter(rng.normal(0, 50, (40, 40)), 1).astype(np.float32)
    mask = rng.random((40, 40)) > 0.3
    half = flattest_half(grey, mask)
    assert not (half & ~mask).any()
    assert abs(int(half.sum()) - mask.sum() / 2) <= 1
    slope = ndimage.gaussian_gradient_magnitude(grey, 2.0)
    assert slope[half].max() <= slope[mask & ~half].min()


def test_untouched_grain_has_no_excess_and_a_smoothed_or_coarser_one_has() -> None:
    untouched, smoothed, coarser = [], [], []
    for seed in range(8):
        image = _scene(seed, 4.0)
        untouched.append(residual_features(image, ZONE))
        soft = ndimage.gaussian_filter(image, (1, 1, 0))
        smoothed.append(residual_features(np.where(ZONE[..., None], soft, image), ZONE))
        rng = np.random.default_rng(seed + 50)
        grain = ndimage.gaussian_filter(rng.normal(0, 14, image.shape), (1, 1, 0))
        coarse = np.where(ZONE[..., None], soft + grain, image)
        coarser.append(residual_features(coarse, ZONE))
    assert abs(np.mean(untouched, axis=0)[LOG_RATIO]) < 0.1
    assert np.mean(smoothed, axis=0)[LOG_RATIO] < -0.8
    spread = np.std(untouched, axis=0) + 1e-3
    for faulty in (smoothed, coarser):
        apart = np.abs(np.mean(faulty, axis=0) - np.mean(untouched, axis=0)) / spread
        assert apart.max() > 8


def test_a_crack_alone_is_not_taken_for_foreign_grain() -> None:
    flat = np.full((96, 96, 3), 120.0) + np.random.default_rng(3).normal(0, 4, (96, 96, 3))
    y = np.mgrid[:96, :96][0]
    cracked = flat - 70 * (np.abs(y - 46) < 3)[..., None]
    ratio = residual_features(cracked.astype(np.float32), ZONE)[LOG_RATIO]
    assert abs(ratio) < 0.15


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["noise", "zeros", "white"]))
def test_features_are_finite_for_any_zone(seed: int, content: str) -> None:
    rng = np.random.default_rng(seed)
    image = {
        "noise": rng.integers(0, 256, (24, 31, 3)).astype(np.float32),
        "zeros": np.zeros((24, 31, 3), np.float32),
        "white": np.full((24, 31, 3), 255, np.float32),
    }[content]
    zone = rng.random((24, 31)) > rng.uniform(0, 0.99)
    zone[rng.integers(24), rng.integers(31)] = True
    features = residual_features(image, zone)
    assert features.shape == (RESIDUAL_FEATURES,)
    assert np.isfinite(features).all()


def test_empty_masks_and_other_grids_are_refused() -> None:
    grey, empty = np.zeros((9, 9), np.float32), np.zeros((9, 9), bool)
    with pytest.raises(BadInput, match="grain"):
        grain_sigma(grey, empty)
    with pytest.raises(BadInput, match="zone"):
        residual_features(np.zeros((9, 9, 3)), empty)
    with pytest.raises(ShapeError):
        grain_sigma(grey, np.ones((8, 9), bool))
