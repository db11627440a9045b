"""Outlines: each mask comes back exactly, by pixel centres and by cutting to whole pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.draw import polygon2mask

from tasks.domain.contours import INSET_PX, outline_px, simple_pieces

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.booleans())


def by_centres(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A pixel belongs to the polygon when its centre does."""
    return polygon2mask(shape, points[:, ::-1] - 0.5)


def by_whole_pixels(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Vertices cut to whole pixels, border drawn: as OpenCV's fillPoly."""
    image = Image.new("1", shape[::-1])
    corners = [tuple(int(v) for v in point) for point in points]
    ImageDraw.Draw(image).polygon(corners, fill=1, outline=1)
    return np.asarray(image, dtype=bool)


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_pieces_make_up_the_mask_and_are_simple(mask):
    pieces = list(simple_pieces(mask))
    assert (sum((p.astype(int) for p in pieces), np.zeros(mask.shape, int)) == mask).all()
    for piece in pieces:
        assert ndimage.label(piece)[1] == 1
        assert (ndimage.binary_fill_holes(piece, structure=np.ones((3, 3))) == piece).all()


@pytest.mark.parametrize("rasterise", [by_centres, by_whole_pixels])
@settings(max_examples=150, deadline=None)
@given(mask=MASKS)
def test_every_piece_comes_back_exactly(rasterise, mask):
    for piece in simple_pieces(mask):
        assert (rasterise(outline_px(piece), mask.shape) == piece).all()


def test_the_area_is_the_pixels_less_the_inset():
    rows, cols = np.mgrid[:40, :60]
    disc = np.hypot(rows - 20, cols - 30) < 15
    x, y = outline_px(disc).T
    area = 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    perimeter = float(np.abs(np.diff(np.append(x, x[0]))).sum() * 2)
    assert area == pytest.approx(disc.sum() - INSET_PX * perimeter, abs=0.1)


def test_a_single_pixel_has_four_corners():
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 3] = True
    expected = {(3.01, 2.01), (3.99, 2.01), (3.99, 2.99), (3.01, 2.99)}
    assert {tuple(point) for point in outline_px(mask).round(6).tolist()} == expected
