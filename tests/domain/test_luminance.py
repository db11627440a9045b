"""Grey levels follow Rec. 601, and mismatched grids are refused."""

import numpy as np
import pytest

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.luminance import luminance, require_pixels, require_same_grid


def test_a_grey_image_keeps_its_levels() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.allclose(luminance(np.dstack([grey] * 3)), grey, atol=1e-4)


def test_green_is_brightest_and_blue_darkest() -> None:
    red, green, blue = luminance(np.eye(3, dtype=np.uint8)[None] * 255)[0]
    assert (red, green, blue) == pytest.approx((76.245, 149.685, 29.07), abs=1e-3)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (4, 4, 1)])
def test_an_image_that_is_not_rgb_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="convert it to RGB"):
        luminance(np.zeros(shape, np.uint8))


def test_grids_must_match_and_masks_must_have_pixels() -> None:
    with pytest.raises(ShapeError, match="same height and width"):
        require_same_grid(np.zeros((4, 5, 3)), np.zeros((4, 4)))
    with pytest.raises(BadInput, match="at least one pixel"):
        require_pixels(np.zeros((3, 3), bool), "zone")
