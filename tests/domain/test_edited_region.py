"""The region of a foreign edit: exact on untouched surroundings, steady on re-encoded ones."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from tasks.domain.edited_region import edited_region, given_region
from tasks.domain.errors import ImageRefused, ShapeError
from tasks.domain.plausibility import mask_iou

SIDE = 96
BEAD = np.zeros((SIDE, SIDE), dtype=bool)
BEAD[30:66] = True


def steel(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = 110 + 25 * BEAD + ndimage.gaussian_filter(rng.normal(0, 40, (SIDE, SIDE)), 3)
    grain = rng.normal(0, 3, (SIDE, SIDE, 3))
    return np.clip(base[..., None] + grain, 0, 255).astype(np.uint8)


def blob(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def painted(before: np.ndarray, mask: np.ndarray, by: int = -45) -> np.ndarray:
    after = before.astype(int)
    after[mask] += by
    return np.clip(after, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@settings(max_examples=25, deadline=None)
@given(
    top=st.integers(30, 55), left=st.integers(0, 80), height=st.integers(4, 11),
    width=st.integers(4, 16), by=st.sampled_from([-45, -12, 12, 45]), seed=st.integers(0, 5),
)  # fmt: skip
def test_a_patch_on_untouched_surroundings_is_found_to_the_pixel(
    top, left, height, width, by, seed
):
    before, mask = steel(seed), blob(top, left, height, width)
    assert np.array_equal(edited_region(before, painted(before, mask, by), BEAD), mask)


def test_a_soft_edit_gets_a_rim_of_untouched_steel_and_a_pasted_one_does_not():
    before, mask = steel(), blob(42, 30, 12, 30)
    soft = before + (-45 * ndimage.gaussian_filter(mask.astype(float), 2.0))[..., None]
    soft = np.clip(np.rint(soft), 0, 255).astype(np.uint8)
    touched = (soft != before).any(axis=2)
    found = edited_region(before, soft, BEAD)
    rim = found & ~ndimage.binary_erosion(found)
    assert not (rim & touched & ndimage.binary_erosion(BEAD)).any()
    hard = edited_region(before, painted(before, mask), BEAD)
    assert np.array_equal(hard, mask)


@pytest.mark.parametrize("quality", [95, 85])
def test_a_jpegs_errors_are_not_taken_for_the_edit(quality):
    before, mask = steel(), blob(40, 30, 14, 30)
    found = edited_region(before, jpeg(painted(before, mask, -60), quality), BEAD)
    assert mask_iou(found, mask) > 0.6


def test_a_hole_in_the_change_belongs_to_the_edit():
    before, mask = steel(), blob(36, 20, 20, 20)
    ring = mask & ~blob(42, 26, 8, 8)
    assert np.array_equal(edited_region(before, painted(before, ring), BEAD), mask)


def test_what_lies_off_the_bead_is_cut_and_nothing_but_it_is_refused():
    before = steel()
    across = blob(20, 30, 20, 20)
    assert np.array_equal(edited_region(before, painted(before, across), BEAD), across & BEAD)
    with pytest.raises(ImageRefused, match="off the bead: 200 pixels"):
        edited_region(before, painted(before, blob(5, 5, 10, 20)), BEAD)


def test_nothing_or_only_grain_changed():
    before, mask = steel(), blob(40, 30, 14, 30)
    with pytest.raises(ImageRefused, match="nothing changed: at most 0"):
        edited_region(before, before, BEAD)
    again = before + mask[..., None] * np.random.default_rng(1).normal(0, 1.5, before.shape)
    with pytest.raises(ImageRefused, match="nothing changed"):
        edited_region(before, np.rint(again).astype(np.uint8), BEAD)
    with pytest.raises(ImageRefused, match="nothing changed"):
        edited_region(before, jpeg(before, 85), BEAD)


@pytest.mark.parametrize("how", ["toned", "another", "turned", "repainted"])
def test_everything_changed(how):
    before = steel()
    after = {
        "toned": painted(before, np.ones_like(BEAD), 9),
        "another": steel(9),
        "turned": before[::-1, ::-1],
        "repainted": painted(before, np.ones_like(BEAD), -60),
    }[how]
    surface = np.ones_like(BEAD) if how == "repainted" else BEAD
    with pytest.raises(ImageRefused, match="everything changed"):
        edited_region(before, after, surface)


def test_a_given_mask_is_kept_to_the_bead():
    assert np.array_equal(given_region(blob(26, 10, 20, 20), BEAD), blob(30, 10, 16, 20))
    with pytest.raises(ImageRefused, match="only 20% of its mask"):
        given_region(blob(14, 10, 20, 20), BEAD)


def test_shapes_must_match():
    before = steel()
    with pytest.raises(ShapeError, match="one size"):
        edited_region(before, before[:50], BEAD)
    with pytest.raises(ShapeError, match="one size"):
        given_region(BEAD[:50], BEAD)
