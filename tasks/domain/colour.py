"""Colour of a zone beside its bead: steel has hardly any, so a foreign hue or coloured noise shows.

Opponent channels a = R - G and b = (R + G)/2 - B (Hering; as in van de Sande et al., IEEE TPAMI
2010, without their normalisation); their 5, 25, 50, 75 and 95 % quantiles in the zone, less the
bead's own median. Differences of one grey level are rounding and count as none.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.domain.luminance import BoolMask, FloatArray, require_pixels, require_same_grid

COLOUR_FEATURES = 10
_LEVELS = (0.05, 0.25, 0.50, 0.75, 0.95)
_ROUNDING = 1.0
_BLUR_PX = 0.7
_MIN_PIXELS = 32


def colour_features(image_rgb: npt.NDArray[Any], zone: BoolMask, bead: BoolMask) -> FloatArray:
    """Quantiles of the zone's opponent colours relative to the rest of the bead.

    Args:
        image_rgb: (H, W, 3), 0-255.
        zone, bead: (H, W); a bead with hardly a pixel outside the zone is taken as colourless.

    Returns:
        (10,) float32 in grey levels: 5 quantiles of a, 5 of b.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the zone is empty.
    """
    require_same_grid(image_rgb, zone, bead)
    require_pixels(zone, "zone")
    image = ndimage.gaussian_filter(np.asarray(image_rgb, np.float32), (_BLUR_PX, _BLUR_PX, 0))
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    rest = bead & ~zone
    features = []
    for channel in (red - green, (red + green) / 2 - blue):
        own = float(np.median(channel[rest])) if rest.sum() >= _MIN_PIXELS else 0.0
        features.append(np.quantile(channel[zone], _LEVELS) - own)
    values = np.concatenate(features)
    return np.asarray(np.sign(values) * np.maximum(np.abs(values) - _ROUNDING, 0), np.float32)
