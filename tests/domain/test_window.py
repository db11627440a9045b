"""Windows and stitching: nothing changes outside the region, thin regions live, grain is real."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.images import display_range, display_rgb, in_source_units
from tasks.domain.window import crop, feather, latent_mask, stitched, window_around, with_detail


def ellipse(shape, centre, radii):
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return ((rows - centre[0]) / radii[0]) ** 2 + ((cols - centre[1]) / radii[1]) ** 2 < 1


@given(
    row=st.integers(0, 99), col=st.integers(0, 149), seed=st.integers(0, 99),
    deep=st.booleans(), colour=st.booleans(), feather_px=st.floats(0, 8),
)  # fmt: skip
def test_pixels_outside_the_region_are_bit_identical(row, col, seed, deep, colour, feather_px):
    rng = np.random.default_rng(seed)
    deep = deep and not colour
    image = rng.integers(0, 4096 if deep else 256, (100, 150, 3) if colour else (100, 150))
    image = image.astype(np.uint16 if deep else np.uint8)
    region = ellipse((100, 150), (row, col), (9, 14))
    box = window_around(region, 64)
    painted = rng.uniform(-50, 70000, crop(image, box).shape).astype(np.float32)
    after = stitched(image, painted, region, box, feather_px)
    assert after.dtype == image.dtype
    assert np.array_equal(after[~region], image[~region])


def test_deep_inside_the_region_the_painted_values_stand():
    image = np.full((100, 100), 50, np.uint8)
    region = ellipse((100, 100), (50, 50), (20, 20))
    box = window_around(region, 64)
    painted = np.full(crop(image, box).shape, 200.0, np.float32)
    after = stitched(image, painted, region, box, 2.0)
    assert after[50, 50] == 200
    edge = region & ~ellipse((100, 100), (50, 50), (18.5, 18.5))
    assert 50 < after[edge].mean() < 200


@given(row=st.integers(0, 199), col=st.integers(0, 299), side=st.sampled_from([64, 128]))
def test_the_window_is_square_inside_the_image_and_holds_the_region(row, col, side):
    region = ellipse((200, 300), (row, col), (5, 8))
    x, y, w, h = window_around(region, side)
    assert w == h >= side
    assert 0 <= x <= 300 - w
    assert 0 <= y <= 200 - h
    assert region[y : y + h, x : x + w].sum() == region.sum()


def test_a_one_pixel_region_survives_the_latent_grid():
    for row, col in [(0, 0), (7, 8), (63, 63), (31, 5)]:
        region = np.zeros((64, 64), bool)
        region[row, col] = True
        grown = latent_mask(region, 8)
        assert grown[row, col]
        assert grown[::8, ::8].sum() == 1
        assert grown.sum() == 64


def test_the_feather_lies_inside_the_region():
    region = ellipse((80, 80), (40, 40), (15, 15))
    weight = feather(region, 3.0)
    assert weight[~region].max() == 0
    assert weight[40, 40] == pytest.approx(1.0)
    assert 0 < weight[region].min() < 0.5


def test_where_the_model_changes_nothing_the_original_returns_with_all_its_detail():
    rng = np.random.default_rng(0)
    original = (120 + rng.normal(0, 4, (64, 64, 3))).astype(np.float32)
    reconstructed = np.full((64, 64, 3), 120, np.float32)
    assert np.allclose(with_detail(reconstructed, original, reconstructed), original)
    darker = with_detail(reconstructed - 30, original, reconstructed)
    assert darker.std() == pytest.approx(4, rel=0.05)
    assert darker.mean() == pytest.approx(90, abs=0.2)


def test_display_and_source_units_are_inverse():
    deep = np.random.default_rng(0).integers(700, 3500, (40, 50)).astype(np.uint16)
    value_range = display_range(deep)
    view = display_rgb(deep, value_range)
    assert (view.min(), view.max()) == (0, 255)
    back = in_source_units(view.astype(np.float32), deep, value_range)
    assert np.abs(back - deep).max() <= (value_range[1] - value_range[0]) / 255
    plain = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert display_rgb(plain, display_range(plain)) is not None
    assert np.array_equal(display_rgb(plain, display_range(plain)), plain)
