"""The window: the square crop the diffusion model sees, and the way back into the image.

x' = (1 - M) x + M f(x, M, p), article 3.2. Outside M the result equals x bit for bit: only
pixels inside M are ever written. The blend is feathered inside M alone.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.errors import ShapeError
from tasks.domain.images import Pixels

BoolMask = NDArray[np.bool_]
Box = tuple[int, int, int, int]
RIM_PX = 2
MAX_OFFSET = 24.0
Scalar = TypeVar("Scalar", bound=np.generic)


def window_around(region: BoolMask, native_px: int) -> Box:
    """The square window (x, y, w, h) for a region, inside the image.

    Its side is the model's native resolution, so that pixels are seen one to one; larger only
    when the region needs it, smaller only when the image is.

    Args:
        region: (H, W), not empty.
        native_px: side the model was trained at, in pixels.
    """
    height, width = region.shape
    rows, cols = np.nonzero(region)
    extent = int(max(np.ptp(rows), np.ptp(cols))) + 1
    side = min(max(native_px, int(np.ceil(extent * 1.15))), height, width)
    top = int(np.clip((rows.min() + rows.max() + 1 - side) // 2, 0, height - side))
    left = int(np.clip((cols.min() + cols.max() + 1 - side) // 2, 0, width - side))
    return left, top, side, side


def crop(array: NDArray[Scalar], box_xywh: Box) -> NDArray[Scalar]:
    """The part of an (H, W, ...) array inside the box."""
    x, y, w, h = box_xywh
    return array[y : y + h, x : x + w]


def latent_mask(region: BoolMask, cell_px: int) -> BoolMask:
    """The region grown to whole latent cells, so that nearest sampling loses none of it.

    Args:
        region: (H, W), sides divisible by `cell_px`.
        cell_px: image pixels a latent cell, per side (8 for SD 1.5).

    Returns:
        (H, W), True on every cell that the region touches.
    """
    height, width = region.shape
    if height % cell_px or width % cell_px:
        raise ShapeError(f"Expected sides divisible by {cell_px}, but got {height}x{width}")
    cells = region.reshape(height // cell_px, cell_px, width // cell_px, cell_px).any(axis=(1, 3))
    return np.kron(cells, np.ones((cell_px, cell_px), dtype=bool)).astype(bool)


def feather(region: BoolMask, width_px: float) -> NDArray[np.float32]:
    """Blend weights: 0 outside M, rising to 1 over `width_px` inside M.

    Returns:
        (H, W) float32 in [0, 1]. A region thinner than the feather keeps weight 1 at its core.
    """
    if width_px <= 0 or not region.any():
        return region.astype(np.float32)
    depth = ndimage.distance_transform_edt(np.pad(region, 1, constant_values=False))[1:-1, 1:-1]
    ramp = np.minimum(depth / (min(width_px, float(depth.max())) + 0.5), 1.0)
    return np.asarray(ramp * region, dtype=np.float32)


def with_white_balance(
    painted: NDArray[np.float32], original: NDArray[np.float32], region: BoolMask
) -> NDArray[np.float32]:
    """The painted window with the hue of its rim drawn to the original's.

    A model unsure of a surface paints it a little grey. Along the inner rim of the region, where
    what is painted should pass into what is there, the median difference of chroma (colour less
    luminance) is such an offset when it is small; a large one is a painted colour, and stays. The
    offset fades with luminance, so that black stays black.

    Args:
        painted, original: (S, S, 3), 0-255.
        region: (S, S).
    """
    rim = region & ~ndimage.binary_erosion(region, iterations=RIM_PX)
    if not rim.any():
        return painted
    lightness = painted.mean(axis=2, keepdims=True)
    chroma = original - original.mean(axis=2, keepdims=True) - (painted - lightness)
    offset = np.median(chroma[rim], axis=0)
    if np.abs(offset).max() > MAX_OFFSET:
        return painted
    share = np.clip(lightness / max(float(np.median(original[rim])), 1.0), 0.0, 1.0)
    return np.asarray(painted + share * offset, dtype=np.float32)


def with_detail(
    painted: NDArray[np.float32],
    original: NDArray[np.float32],
    reconstructed: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The painted window with what the autoencoder cannot carry: f(x) + x - D(E(x)).

    An autoencoder loses grain, brushing and the edges of ripples, and a detector would learn their
    absence. What it loses of the original, pixel by pixel, is the camera's own; where the model
    changes nothing, the original returns.

    Args:
        painted, original, reconstructed: (S, S, 3) in 0-255, the last the original after one
            way through the autoencoder.
    """
    return np.asarray(painted + (original - reconstructed), dtype=np.float32)


def stitched(
    image: Pixels,
    painted: NDArray[np.float32],
    region: BoolMask,
    box_xywh: Box,
    feather_px: float,
) -> Pixels:
    """The image with the painted window blended in, inside the region only.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16; it is copied, not written.
        painted: the window in the image's own units, (S, S) or (S, S, 3).
        region: (H, W).
        box_xywh: where the window lies.

    Returns:
        Same shape and type as `image`; equal to it bit for bit outside the region.
    """
    after = image.copy()
    inside = crop(region, box_xywh).astype(bool)
    weight = crop(feather(region, feather_px), box_xywh).astype(np.float32)
    before = crop(image, box_xywh).astype(np.float32)
    if before.ndim == 3:
        weight = weight[..., None]
    blend = before + weight * (painted - before)
    values = np.clip(np.rint(blend), 0, np.iinfo(image.dtype).max)
    crop(after, box_xywh)[inside] = values[inside]
    return after
