"""An even toe has an even gradient; a smeared or broken one is told apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tasks.domain.edges import border_gradient
from tasks.domain.errors import BadInput, ShapeError

BEAD = np.zeros((80, 160), bool)
BEAD[25:55] = True


def _image(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(BEAD * 70.0, 0.8)
    return (90 + soft + rng.normal(0, 2, BEAD.shape)).astype(np.float32)


def test_a_smeared_toe_is_weaker_and_a_broken_one_less_even() -> None:
    even = border_gradient(_image(0), BEAD)
    smeared = border_gradient(ndimage.gaussian_filter(_image(0), 4), BEAD)
    assert smeared[0] < even[0] - 0.5
    broken = _image(0)
    broken[:, 50:110] = 125
    assert border_gradient(broken, BEAD)[2] > even[2] + 0.2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 1.5), st.floats(-20, 20))
def test_brightness_and_gain_hardly_matter(seed: int, gain: float, shift: float) -> None:
    image = _image(seed)
    moved = (image * gain + shift).astype(np.float32)
    assert np.allclose(border_gradient(moved, BEAD), border_gradient(image, BEAD), atol=0.05)


def test_a_bead_that_fills_the_image_has_no_border() -> None:
    assert (border_gradient(_image(0), np.ones_like(BEAD)) == 0).all()
    assert np.isfinite(border_gradient(np.zeros(BEAD.shape, np.float32), BEAD)).all()


def test_an_empty_mask_and_another_grid_are_refused() -> None:
    with pytest.raises(BadInput, match="bead mask"):
        border_gradient(_image(0), np.zeros_like(BEAD))
    with pytest.raises(ShapeError):
        border_gradient(_image(0), np.ones((3, 3), bool))
