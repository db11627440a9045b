"""A source keeps its own depth (8-bit grey or RGB, 16-bit grey); models see its 8-bit RGB view.

What a model paints in that view is mapped back into the source's own units.
"""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def display_range(pixels: Pixels) -> tuple[float, float]:
    """The values that the 8-bit view shows as 0 and 255: the type's own for 8 bits, the image's
    smallest and largest for 16 (cameras fill 10, 12 or 14 of them)."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(pixels.min()), float(pixels.max())
    return low, max(high, low + 1.0)


def display_rgb(
    pixels: Pixels, value_range: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """The 8-bit RGB view (H, W, 3) that models and measures see; by default in its own range."""
    low, high = display_range(pixels) if value_range is None else value_range
    if pixels.dtype == np.uint8:
        view = np.asarray(pixels, dtype=np.uint8)
    else:
        scaled = (pixels.astype(np.float32) - low) * (255.0 / (high - low))
        view = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return view if view.ndim == 3 else np.repeat(view[..., None], 3, axis=2)


def in_source_units(
    painted_rgb: NDArray[np.float32], like: Pixels, value_range: tuple[float, float]
) -> NDArray[np.float32]:
    """A painted 8-bit RGB window (s, s, 3) in the depth and channels of the source."""
    low, high = value_range
    if like.ndim == 2:
        values = painted_rgb.mean(axis=2)
    elif (like == like[..., :1]).all():  # a monochrome camera's picture kept as RGB
        values = np.repeat(painted_rgb.mean(axis=2, keepdims=True), 3, axis=2)
    else:
        values = painted_rgb
    return np.asarray(values * ((high - low) / 255.0) + low, dtype=np.float32)
