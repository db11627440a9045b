"""A crack and pores are continuous, noise is speckle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.continuity import defect_continuity
from tasks.domain.errors import BadInput, ShapeError

ZONE = np.zeros((256, 256), bool)
ZONE[90:150, 80:180] = True


def _plain(seed: int) -> np.ndarray:
    return (130 + np.random.default_rng(seed).normal(0, 3, (256, 256))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_a_crack_is_one_piece(seed: int) -> None:
    y, x = np.mgrid[:256, :256]
    crack = (np.abs(y - 120 - 8 * np.sin(x / 15)) < 2.5) & ZONE
    assert defect_continuity(_plain(seed) - np.float32(70) * crack, ZONE) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_pores_are_pieces_and_noise_is_not(seed: int) -> None:
    y, x = np.mgrid[:256, :256]
    pores = np.zeros_like(ZONE)
    for cy, cx in ((105, 100), (130, 120), (115, 160)):
        pores |= np.hypot(y - cy, x - cx) < 5
    assert defect_continuity(_plain(seed) - np.float32(70) * pores, ZONE) > 0.85
    noise = np.random.default_rng(seed + 9).normal(0, 35, ZONE.shape)
    noisy = np.where(ZONE, _plain(seed) + noise, _plain(seed)).astype(np.float32)
    assert defect_continuity(noisy, ZONE) < 0.3


def test_nothing_anomalous_is_continuous() -> None:
    assert defect_continuity(np.full((256, 256), 90, np.float32), ZONE) == 1.0


def test_the_smallest_piece_grows_with_the_image() -> None:
    image = np.full((256, 256), 130, np.float32)
    image[120:124, 130:134] = 30
    zone = np.zeros((256, 256), bool)
    zone[118:126, 128:136] = True
    assert defect_continuity(image, zone) == 1.0
    wide = np.pad(image, 256, mode="edge")
    assert defect_continuity(wide, np.pad(zone, 256)) == 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_a_share_for_any_zone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    zone = rng.random((40, 50)) > rng.uniform(0, 0.98)
    zone[0, 0] = True
    assert 0 <= defect_continuity(rng.uniform(0, 255, (40, 50)).astype(np.float32), zone) <= 1


def test_an_empty_zone_and_another_grid_are_refused() -> None:
    with pytest.raises(BadInput, match="zone"):
        defect_continuity(np.zeros((9, 9), np.float32), np.zeros((9, 9), bool))
    with pytest.raises(ShapeError):
        defect_continuity(np.zeros((9, 9), np.float32), np.ones((9, 8), bool))
