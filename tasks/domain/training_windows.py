"""Training windows: what a generator is shown of a plant, cut from its real images.

A window is the square that an edit would see, cut by the same rule (`window_around`) and resized
to the model's native side: sound ones anywhere on the inspected surface, defective ones around a
piece of the defect's mask, off centre by a little. A defect longer than a window is learned in
pieces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.resizing import resized_mask, resized_rgb
from tasks.domain.window import Box, crop, window_around

BoolMask = NDArray[np.bool_]

JITTER = 0.15  # of the side, off the defect's middle
PIECE = (0.35, 0.8)  # half the extent of a piece of a long defect, in sides
GROWN_PX = 2
MAX_DEFECT_SHARE = 0.6  # of a window; more leaves no surface to learn from


@dataclass(frozen=True)
class Window:
    """image (s, s, 3) uint8; surface, defect (s, s) bool; where it lay in its image."""

    image: NDArray[np.uint8]
    surface: BoolMask
    defect: BoolMask
    box_xywh: Box


def sound_windows(
    image: NDArray[np.uint8],
    surface: BoolMask,
    native_px: int,
    count: int,
    rng: np.random.Generator,
) -> list[Window]:
    """Windows centred anywhere on the surface; fewer than `count` only where it is empty.

    Args:
        image: (H, W, 3). surface: (H, W), the inspected part of it.
    """
    rows, cols = np.nonzero(surface)
    if not len(rows):
        return []
    nothing = np.zeros(surface.shape, dtype=bool)
    picks = rng.integers(len(rows), size=count)
    return [
        _cut(image, surface, nothing, _box(surface.shape, rows[i], cols[i], native_px), native_px)
        for i in picks
    ]


def defect_windows(
    image: NDArray[np.uint8],
    surface: BoolMask,
    defect: BoolMask,
    native_px: int,
    count: int,
    rng: np.random.Generator,
) -> list[Window]:
    """Windows around pieces of a defect, each a little off its middle; none where it is empty.

    Where too many show nothing but defect, around pieces of its rim; none of one without a rim.

    Args:
        image: (H, W, 3). surface, defect: (H, W).
    """
    found: list[Window] = []
    rim = defect & ~ndimage.binary_erosion(defect, border_value=1)
    for attempt in range(4 * count if rim.any() else 0):
        if len(found) == count:
            break
        piece = piece_of(defect if attempt < count else rim, native_px, rng)
        window = _around(piece, image, surface, defect, native_px, rng)
        if 0 < window.defect.mean() <= MAX_DEFECT_SHARE:
            found.append(window)
    return found


def piece_of(defect: BoolMask, side_px: int, rng: np.random.Generator) -> BoolMask:
    """What lies near a random pixel of a defect, its reach drawn too; (H, W), not empty.

    Args:
        defect: (H, W), not empty.
        side_px: of the window a piece should fit in.
    """
    rows, cols = np.nonzero(defect)
    pick = int(rng.integers(len(rows)))
    reach = side_px * rng.uniform(*PIECE)
    near = (np.abs(rows - rows[pick]) <= reach) & (np.abs(cols - cols[pick]) <= reach)
    piece = np.zeros(defect.shape, dtype=bool)
    piece[rows[near], cols[near]] = True
    return piece


def _around(
    piece: BoolMask,
    image: NDArray[np.uint8],
    surface: BoolMask,
    defect: BoolMask,
    native_px: int,
    rng: np.random.Generator,
) -> Window:
    """One window about a piece of the defect, off its middle by a little."""
    grown = ndimage.binary_dilation(piece, iterations=GROWN_PX)
    x, y, side, _ = window_around(grown, native_px)
    height, width = defect.shape
    shift = rng.uniform(-JITTER, JITTER, 2) * side
    left = int(np.clip(round(x + shift[0]), 0, width - side))
    top = int(np.clip(round(y + shift[1]), 0, height - side))
    return _cut(image, surface, defect, (left, top, side, side), native_px)


def _box(shape: tuple[int, ...], row: int, col: int, native_px: int) -> Box:
    """The native window nearest to being centred there."""
    side = min(native_px, *shape[:2])
    top = int(np.clip(row - side // 2, 0, shape[0] - side))
    left = int(np.clip(col - side // 2, 0, shape[1] - side))
    return left, top, side, side


def _cut(
    image: NDArray[np.uint8], surface: BoolMask, defect: BoolMask, box: Box, native_px: int
) -> Window:
    return Window(
        image=resized_rgb(crop(image, box), native_px),
        surface=resized_mask(crop(surface, box), native_px),
        defect=resized_mask(crop(defect, box), native_px),
        box_xywh=box,
    )
