"""Resizing: square windows between an image's own resolution and a model's, masks kept whole."""

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

BoolMask = NDArray[np.bool_]


def resized(image: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """The square image at another size; itself when it already has it."""
    if image.shape[0] == side_px:
        return image
    return np.asarray(
        resize(image, (side_px, side_px), order=3, anti_aliasing=image.shape[0] > side_px),
        dtype=np.float32,
    )


def resized_rgb(window: NDArray[np.generic], side_px: int) -> NDArray[np.uint8]:
    """The (s, s, 3) uint8 window at the model's size."""
    values = resized(window.astype(np.float32), side_px)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def resized_mask(mask: NDArray[np.generic], side_px: int) -> BoolMask:
    """The square mask at another size; made smaller, every pixel that is touched stays."""
    side = mask.shape[0]
    if side == side_px:
        return mask.astype(bool)
    if side > side_px:
        rows, cols = ((2 * at + 1) * side_px // (2 * side) for at in np.nonzero(mask))
        small = np.zeros((side_px, side_px), dtype=bool)
        small[rows, cols] = True
        return small
    grown = resize(mask.astype(np.float32), (side_px, side_px), order=1)
    return np.asarray(grown > 0.2)
