"""Intensities of the bead as a quantile function.

F^-1(u) at u = (i + 1/2)/64; the mean of |F^-1 - G^-1| over u is the Wasserstein-1 distance between
the two distributions of grey levels (Vallender, 1974), in grey levels.
"""

import numpy as np

from tasks.domain.luminance import (
    BoolMask,
    FloatArray,
    GreyImage,
    require_pixels,
    require_same_grid,
)

QUANTILES = 64


def intensity_quantiles(grey: GreyImage, mask: BoolMask) -> FloatArray:
    """The quantile function of the grey levels in the mask.

    Args:
        grey: (H, W), 0-255.
        mask: (H, W), True on the bead.

    Returns:
        (64,) float32 in [0, 255], never decreasing.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the mask is empty.
    """
    require_same_grid(grey, mask)
    require_pixels(mask, "bead mask")
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.quantile(grey[mask], levels).astype(np.float32)
