"""Regularity of the gradient along the bead's border.

With b = |grad (G_1 * I)| on the border pixels and c the contrast (standard deviation) around it:
log(mean b / c), log(std b / c), std b / mean b. A real bead's toe keeps an edge of even strength.
"""

import numpy as np
from scipy import ndimage

from tasks.domain.luminance import (
    BoolMask,
    FloatArray,
    GreyImage,
    require_pixels,
    require_same_grid,
)
from tasks.domain.seam import signed_distance

_BORDER_PX = 2.0
_AROUND_PX = 8.0
_EPS = 0.1


def border_gradient(grey: GreyImage, bead_mask: BoolMask) -> FloatArray:
    """Strength and evenness of the edge along the bead's border.

    Args:
        grey: (H, W), 0-255.
        bead_mask: (H, W), True on the bead.

    Returns:
        (3,) float32, finite; zeros when the bead has no border inside the image. Unchanged by a
        constant added to the image, and nearly so by a gain.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the mask is empty.
    """
    require_same_grid(grey, bead_mask)
    require_pixels(bead_mask, "bead mask")
    if bead_mask.all():
        return np.zeros(3, dtype=np.float32)
    distance = np.abs(signed_distance(bead_mask))
    image = np.asarray(grey, dtype=np.float32)
    slope = ndimage.gaussian_gradient_magnitude(image, 1.0)[distance < _BORDER_PX]
    contrast = float(image[distance < _AROUND_PX].std()) + _EPS
    mean, spread = float(slope.mean()) + _EPS, float(slope.std()) + _EPS
    return np.array(
        [np.log(mean / contrast), np.log(spread / contrast), spread / mean], dtype=np.float32
    )
