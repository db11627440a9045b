"""Outlines of masks along the edges of their pixels, for formats that know polygons alone.

A pixel (x, y) covers [x, x+1] x [y, y+1]. The outline of a piece runs along those edges, .01 px
within: so the piece comes back exactly both by the rule of pixel centres and where vertices are cut
to whole pixels and the polygon is filled with its border (OpenCV's fillPoly, as ultralytics does).
A polygon knows no hole: a piece with a hole is cut along the hole's first row.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.luminance import BoolMask

INSET_PX = 0.01
_EIGHT = np.ones((3, 3), dtype=bool)
_EAST_SOUTH_WEST_NORTH = ((1, 0), (0, 1), (-1, 0), (0, -1))


def simple_pieces(mask: BoolMask) -> Iterator[BoolMask]:
    """Connected pieces without holes that make up an (H, W) mask, each pixel in one of them.

    Pixels that touch by a corner alone are two pieces.
    """
    waiting = [mask]
    while waiting:
        labels, count = ndimage.label(waiting.pop())
        for label in range(1, count + 1):
            piece = labels == label
            holes = ndimage.binary_fill_holes(piece, structure=_EIGHT) & ~piece
            if not holes.any():
                yield piece
                continue
            cut = int(np.flatnonzero(holes.any(axis=1))[0]) + 1
            upper, lower = piece.copy(), piece.copy()
            upper[cut:], lower[:cut] = False, False
            waiting += [lower, upper]


def outline_px(piece: BoolMask) -> NDArray[np.float64]:
    """The outline of a connected piece without holes, clockwise.

    Args:
        piece: (H, W), at least one pixel (see `simple_pieces`).

    Returns:
        (n, 2) x, y of its n >= 4 corners, in pixels.
    """
    inside = np.pad(piece, 1)
    y, x = (int(at) for at in np.argwhere(inside)[0])
    start, towards = (x, y), 0
    corners: list[tuple[float, float]] = []
    while True:
        dx, dy = _EAST_SOUTH_WEST_NORTH[towards]
        x, y = x + dx, y + dy
        turn = _turn(inside, x, y, towards)
        after = (towards + turn) % 4
        if turn:
            # both edges move to their right, where the piece is: .01 px into it
            (rx, ry), (sx, sy) = (_EAST_SOUTH_WEST_NORTH[(d + 1) % 4] for d in (towards, after))
            corners.append((x - 1 + INSET_PX * (rx + sx), y - 1 + INSET_PX * (ry + sy)))
        towards = after
        if (x, y) == start and towards == 0:
            return np.array(corners)


def _turn(inside: BoolMask, x: int, y: int, towards: int) -> int:
    """1 to the right, -1 to the left, 0 straight on, at a corner reached with the piece at right.

    Where two pixels touch by the corner alone, to the right: they are not connected.
    """
    dx, dy = _EAST_SOUTH_WEST_NORTH[towards]
    rx, ry = _EAST_SOUTH_WEST_NORTH[(towards + 1) % 4]
    right = inside[y + (dy + ry - 1) // 2, x + (dx + rx - 1) // 2]
    left = inside[y + (dy - ry - 1) // 2, x + (dx - rx - 1) // 2]
    if not right:
        return 1
    return -1 if left else 0
