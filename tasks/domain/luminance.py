"""Grey levels, the one channel that every physical measure reads.

Y = .299 R + .587 G + .114 B  (ITU-R Recommendation BT.601).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.domain.errors import BadInput, ShapeError

GreyImage = npt.NDArray[np.float32]
BoolMask = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
AnyImage = npt.NDArray[Any]

_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_RGB_NDIM = 3


def luminance(image_rgb: AnyImage) -> GreyImage:
    """The grey levels of an RGB image.

    Args:
        image_rgb: (H, W, 3), uint8 or float, 0-255.

    Returns:
        (H, W) float32 in [0, 255]; empty when the image is.

    Raises:
        ShapeError: the image is not (H, W, 3).
    """
    if image_rgb.ndim != _RGB_NDIM or image_rgb.shape[2] != _RGB_NDIM:
        raise ShapeError(
            f"Expected an (H, W, 3) image, but got shape {image_rgb.shape}; convert it to RGB"
        )
    return image_rgb.astype(np.float32) @ _WEIGHTS


def require_same_grid(image: AnyImage, *others: AnyImage) -> None:
    """Nothing when all arrays share the first one's height and width.

    Raises:
        ShapeError: one of them does not.
    """
    for other in others:
        if image.shape[:2] != other.shape[:2]:
            raise ShapeError(
                f"Expected arrays of the same height and width, but got {image.shape} and "
                f"{other.shape}; crop or resize them to one grid"
            )


def require_pixels(mask: BoolMask, name: str) -> None:
    """Nothing when the mask has a pixel.

    Raises:
        BadInput: it is empty.
    """
    if not mask.any():
        raise BadInput(f"Expected a {name} with at least one pixel, but got none; leave it out")
