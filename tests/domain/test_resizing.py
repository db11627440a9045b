"""Resizing: masks keep what is thin and where it is; images keep their values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.resizing import resized, resized_mask, resized_rgb


@given(st.integers(0, 255), st.booleans(), st.sampled_from([32, 64, 100, 200]))
def test_a_one_pixel_line_survives_being_shrunk_wherever_it_lies(place, is_turned, side_px):
    line = np.zeros((256, 256), bool)
    line[place] = True
    small = resized_mask(line.T if is_turned else line, side_px)
    small = small.T if is_turned else small
    assert small.shape == (side_px, side_px)
    (rows,) = np.nonzero(small.all(axis=1))
    assert np.array_equal(np.nonzero(small.any(axis=1)), [rows])  # whole, and one line only
    assert len(rows) == 1
    assert abs((rows[0] + 0.5) / side_px - (place + 0.5) / 256) <= 0.5 / side_px


@given(st.integers(0, 10_000), st.integers(10, 60), st.integers(5, 60))
def test_every_pixel_of_a_mask_is_still_there_when_shrunk_and_no_other(seed, side, side_px):
    side_px = min(side, side_px)
    mask = np.random.default_rng(seed).random((side, side)) < 0.05
    small = resized_mask(mask, side_px)
    expected = np.zeros((side_px, side_px), bool)
    for row, col in np.argwhere(mask):
        expected[int((row + 0.5) * side_px / side), int((col + 0.5) * side_px / side)] = True
    assert np.array_equal(small, expected)


@pytest.mark.parametrize("side_px", [32, 50, 64, 200])
def test_a_large_mask_keeps_its_place_and_share(side_px):
    rows, cols = np.mgrid[:64, :64]
    disc = np.hypot(rows - 25, cols - 40) < 15
    scaled = resized_mask(disc, side_px)
    assert scaled.mean() == pytest.approx(disc.mean(), rel=0.2)
    centre = (np.argwhere(scaled).mean(axis=0) + 0.5) / side_px
    assert centre == pytest.approx(np.array([25.5, 40.5]) / 64, abs=0.02)


@pytest.mark.parametrize("side_px", [8, 20, 64])
def test_full_and_empty_masks_stay_full_and_empty(side_px):
    assert resized_mask(np.ones((20, 20), bool), side_px).all()
    assert not resized_mask(np.zeros((20, 20), bool), side_px).any()


def test_images_keep_their_values_and_what_has_the_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    assert np.array_equal(resized_rgb(image, 40), image)
    smooth = np.full((40, 40, 3), 200, np.uint8)
    smooth[:, 20:] = 255
    for side_px in (13, 90):
        scaled = resized_rgb(smooth, side_px)
        assert scaled.shape == (side_px, side_px, 3)
        assert scaled[:, : side_px // 3].mean() == pytest.approx(200, abs=2)
        assert scaled[:, -side_px // 3 :].mean() == pytest.approx(255, abs=2)  # nothing wraps
    values = image.astype(np.float32)
    assert resized(values, 40) is values
