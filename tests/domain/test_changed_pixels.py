"""The defect proper: planted changes found where they are, and nothing in grain drawn anew."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.domain.changed_pixels import MaskOrigin, changed_pixels, defect_mask
from tasks.domain.errors import ShapeError

HW = (96, 96)
EVERYWHERE = np.ones(HW, dtype=bool)
ROWS, COLS = np.mgrid[: HW[0], : HW[1]]
REGION = np.hypot(ROWS - 48, COLS - 48) < 30


def steel(seed: int, sigma: float = 3.0) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, sigma, (*HW, 3))
    return np.clip(np.rint(120 + grain), 0, 255).astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("level", [90, 40, -60])
def test_a_planted_flaw_is_found_without_a_halo(level):
    flaw = np.abs(ROWS - 48 - 8 * np.sin(COLS / 9)) < 2
    flaw &= REGION
    before = steel(1)
    after = np.clip(before + level * flaw[..., None], 0, 255).astype(np.uint8)
    assert iou(changed_pixels(before, after, REGION, EVERYWHERE), flaw) > 0.97


def test_a_faint_stain_below_the_grain_of_a_pixel_is_found():
    stain = np.hypot(ROWS - 48, COLS - 48) < 18
    before, again = steel(1).astype(float), steel(2).astype(float)
    after = np.where(REGION[..., None], again - 5 * stain[..., None], before)
    found = changed_pixels(before.astype(np.uint8), after.astype(np.uint8), REGION, EVERYWHERE)
    assert iou(found, stain) > 0.8


def test_a_change_of_colour_alone_is_found():
    stain = np.hypot(ROWS - 48, COLS - 48) < 12
    before = steel(1).astype(np.int16)
    tint = np.array([40, -20, 3])  # grey levels stay within .3
    after = np.clip(before + tint * stain[..., None], 0, 255)
    found = changed_pixels(before.astype(np.uint8), after.astype(np.uint8), REGION, EVERYWHERE)
    assert iou(found, stain) > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_grain_drawn_anew_is_no_defect_and_the_region_says_so(seed):
    before = steel(seed)
    after = np.where(REGION[..., None], steel(seed + 100), before)
    assert changed_pixels(before, after, REGION, EVERYWHERE).sum() <= 0.02 * REGION.sum()
    mask, origin = defect_mask(before, before, REGION, EVERYWHERE)
    assert origin is MaskOrigin.REGION
    assert (mask == REGION).all()


def test_never_outside_the_region_and_16_bits_as_8():
    before = steel(3)[..., 0].astype(np.uint16) * 16
    flaw = ndimage.binary_dilation(REGION, iterations=9)
    after = np.where(flaw, before // 3, before).astype(np.uint16)
    found = changed_pixels(before, after, REGION, EVERYWHERE)
    assert (found == REGION).all()
    nothing = np.zeros(HW, dtype=bool)
    assert not changed_pixels(before, after, nothing, EVERYWHERE).any()
    with pytest.raises(ShapeError):
        changed_pixels(before, after[:50], REGION, EVERYWHERE)
