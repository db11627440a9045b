"""Textures planted by hand stand out from the zones of one surface, and patches cover a bead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tasks.domain.calibration import Reference
from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.scoring import realism
from tasks.domain.texture import (
    GRADIENT_FEATURES,
    LBP_BINS,
    bead_patches,
    texture_features,
)


def _surface(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :120]
    base = 130 + 12 * np.sin(2 * np.pi * (x + 0.003 * (y - 40) ** 2) / rng.uniform(9, 12))
    texture = ndimage.gaussian_filter(rng.normal(size=y.shape), 1.5) * 20
    return (base + texture + rng.normal(0, 2.5, y.shape)).astype(np.float32)


def _references() -> tuple[Reference, Reference]:
    lbp, gradient, groups = [], [], []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        for zone in bead_patches(np.ones((80, 120), bool), 24, 6, rng):
            features = texture_features(_surface(seed), zone)
            lbp.append(features.lbp)
            gradient.append(features.gradient)
            groups.append(seed)
    return (
        Reference.fit(np.array(lbp), np.array(groups), "l1_mean"),
        Reference.fit(np.array(gradient), np.array(groups), "euclidean"),
    )


LBP, GRADIENT = _references()
ZONE = np.zeros((80, 120), bool)
ZONE[25:53, 40:72] = True


def _realism(grey: np.ndarray) -> float:
    features = texture_features(grey, ZONE)
    lbp = float(LBP.typicalities(features.lbp[None])[0])
    return realism(lbp, float(GRADIENT.typicalities(features.gradient[None])[0]))


def _faulty(fault: str, grey: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(9)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    patches = {
        "noise": grey + rng.normal(0, 35, grey.shape),
        "smooth": np.full(grey.shape, grey[ZONE].mean()),
        "checker": np.where((x // 4 + y // 4) % 2 == 0, 90.0, 170.0),
        "blur": ndimage.gaussian_filter(grey, 3.0),
    }
    return np.where(ZONE, patches[fault], grey).astype(np.float32)


@pytest.mark.parametrize("seed", range(100, 106))
def test_a_fresh_zone_of_the_same_surface_is_real(seed: int) -> None:
    assert _realism(_surface(seed)) >= 0.4


@pytest.mark.parametrize("fault", ["noise", "smooth", "checker", "blur"])
def test_a_planted_texture_is_not(fault: str) -> None:
    for seed in range(100, 104):
        assert _realism(_faulty(fault, _surface(seed))) < 0.4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_features_are_finite_normalised_and_blind_to_a_constant(seed: int, shift: int) -> None:
    grey = np.rint(_surface(seed) / 2 + 40)
    features = texture_features(grey, ZONE)
    assert features.lbp.shape == (LBP_BINS,)
    assert features.gradient.shape == (GRADIENT_FEATURES,)
    assert features.lbp[:10].sum() == pytest.approx(1, abs=1e-5)
    assert features.lbp[10:].sum() == pytest.approx(1, abs=1e-5)
    moved = texture_features(grey + shift, ZONE)
    assert np.allclose(moved.lbp, features.lbp, atol=0.02)
    assert np.allclose(moved.gradient, features.gradient, atol=1e-2)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_pixel_of_a_constant_image_is_finite(level: int) -> None:
    zone = np.zeros((30, 30), bool)
    zone[0, 0] = True
    features = texture_features(np.full((30, 30), level, np.float32), zone)
    assert np.isfinite(features.lbp).all()
    assert np.isfinite(features.gradient).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 40), st.integers(1, 12))
def test_patches_lie_on_the_bead_and_are_mostly_covered(seed: int, size: int, count: int) -> None:
    y, x = np.mgrid[:70, :110]
    bead = np.abs(y - 30 - 0.1 * x) < 15
    zones = bead_patches(bead, size, count, np.random.default_rng(seed))
    assert 1 <= len(zones) <= count
    for zone in zones:
        assert not (zone & ~bead).any()
        assert zone.sum() >= 0.6 * size**2 or (zone == bead).all()
    again = bead_patches(bead, size, count, np.random.default_rng(seed))
    assert all((a == b).all() for a, b in zip(zones, again, strict=True))


def test_patches_of_a_thin_and_of_an_empty_bead() -> None:
    thin = np.zeros((40, 40), bool)
    thin[20] = True
    (only,) = bead_patches(thin, 16, 5, np.random.default_rng(0))
    assert (only == thin).all()
    assert bead_patches(np.zeros((40, 40), bool), 16, 5, np.random.default_rng(0)) == []


def test_an_empty_zone_and_another_grid_are_refused() -> None:
    with pytest.raises(BadInput, match="zone"):
        texture_features(np.zeros((9, 9), np.float32), np.zeros((9, 9), bool))
    with pytest.raises(ShapeError):
        texture_features(np.zeros((9, 9), np.float32), np.ones((9, 8), bool))
