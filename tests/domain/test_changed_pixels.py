"""The defect proper: planted changes found where they are, and nothing in grain drawn anew."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.domain.changed_pixels import (
    MaskOrigin,
    change_levels,
    changed_pixels,
    defect_mask,
    repaint_floor,
)
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


def test_repainted_ripples_are_no_defect_where_placebos_tell_how_they_look():
    """Ripples drawn anew all over the region, a crack in it: the crack alone is the defect."""
    rng = np.random.default_rng(4)

    def repainted(image: np.ndarray) -> np.ndarray:
        ripples = 30 * np.sin((ROWS + COLS) / 3 + rng.uniform(0, 6))[..., None]
        return np.where(REGION[..., None], np.clip(image + ripples, 0, 255), image)

    crack = REGION & (np.abs(ROWS - 48 - 8 * np.sin(COLS / 9)) < 2)
    before = steel(1)
    placebos = [change_levels(before, repainted(before).astype(np.uint8))[REGION] for _ in "12345"]
    floor = repaint_floor(placebos)
    after = np.clip(repainted(before) - 90 * crack[..., None], 0, 255).astype(np.uint8)
    assert iou(changed_pixels(before, after, REGION, EVERYWHERE, floor), crack) > 0.97
    assert iou(changed_pixels(before, after, REGION, EVERYWHERE), crack) < 0.9


def test_a_few_placebos_tell_nothing():
    assert repaint_floor([np.full(9, 30, np.float32)] * 3) == 0
    assert repaint_floor([np.full(9, 30, np.float32)] * 4) == 30


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
    assert not changed_pixels(before, after, REGION, EVERYWHERE).any()
    mask, origin = defect_mask(before, before, REGION, EVERYWHERE)
    assert origin is MaskOrigin.REGION
    assert (mask == REGION).all()


def test_never_outside_the_region_and_16_bits_as_8():
    before = steel(3)[..., 0].astype(np.uint16) * 256
    before[0, 0], before[0, 1] = 0, 65535  # the view shows the whole range
    flaw = ndimage.binary_dilation(REGION, iterations=9)
    after = np.where(flaw, before // 3, before).astype(np.uint16)
    found = changed_pixels(before, after, REGION, EVERYWHERE)
    assert (found == REGION).all()
    nothing = np.zeros(HW, dtype=bool)
    assert not changed_pixels(before, after, nothing, EVERYWHERE).any()
    with pytest.raises(ShapeError):
        changed_pixels(before, after[:50], REGION, EVERYWHERE)
