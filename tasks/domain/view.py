"""The detector's view: the bead cut out and laid straight, or the whole part.

A frame is a rotated rectangle about the bead: centre and principal axis of its mask's pixels,
length and width between its extremes along and across that axis. The view shows the frame with a
margin, scaled by one factor for both sides, so that ripples and pores keep their shape.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.errors import BadInput
from tasks.domain.records import Record

MARGIN = 0.3  # of the bead's width, on both sides
BEAD_HW_PX = (64, 256)
WHOLE_HW_PX = (128, 128)


class Frame(Record):
    """A rotated rectangle in shares of the image's sides: centre, extent, and angle in degrees.

    The angle is that of the long side, in (-90, 90], rows counting downwards; length and width are
    shares of the image's width.
    """

    x: float
    y: float
    length: float
    width: float
    angle_deg: float


WHOLE = Frame(x=0.5, y=0.5, length=1.0, width=1.0, angle_deg=0.0)


def frame_of(mask: NDArray[np.bool_]) -> Frame:
    """The frame about a mask.

    Raises:
        BadInput: the mask is empty.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise BadInput("Expected a mask of a bead, but it is empty")
    height, width = mask.shape
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    centre = points.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((points - centre).T) + 1e-9 * np.eye(2))
    angle = float(np.arctan2(axes[1, 1], axes[0, 1]))
    angle = (angle + np.pi / 2) % np.pi - np.pi / 2
    turned = (points - centre) @ _rotation(angle).T
    low, high = turned.min(axis=0), turned.max(axis=0)
    middle = centre + _rotation(angle).T @ ((low + high) / 2)
    extent = high - low + 1
    return Frame(
        x=(middle[0] + 0.5) / width, y=(middle[1] + 0.5) / height, length=extent[0] / width,
        width=extent[1] / width, angle_deg=float(np.degrees(angle)),
    )  # fmt: skip


def typical_frame(frames: Sequence[Frame]) -> Frame:
    """The median frame, mean axis: where a fixed camera's beads lie. Without any, the whole."""
    if not frames:
        return WHOLE
    angles = np.radians([2 * frame.angle_deg for frame in frames])  # an axis has no sense
    angle = np.degrees(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) / 2
    x, y, length, width = (
        float(np.median([getattr(frame, name) for frame in frames]))
        for name in ("x", "y", "length", "width")
    )
    return Frame(x=x, y=y, length=length, width=width, angle_deg=float(angle))


def cut_view(image: NDArray[np.generic], frame: Frame, hw_px: tuple[int, int]) -> NDArray[np.uint8]:
    """The (h, w) or (h, w, 3) uint8 view of an image or mask of 0-255, edges repeated beyond it."""
    height, width = hw_px
    image_height, image_width = image.shape[:2]
    if frame == WHOLE:
        scale = max(image_width / width, image_height / height)
    else:
        across = frame.width * (1 + 2 * MARGIN)
        scale = max(frame.length * image_width / width, across * image_width / height)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    angle = np.radians(frame.angle_deg)
    along = (columns - (width - 1) / 2) * scale
    down = (rows - (height - 1) / 2) * scale
    x = frame.x * image_width - 0.5 + along * np.cos(angle) - down * np.sin(angle)
    y = frame.y * image_height - 0.5 + along * np.sin(angle) + down * np.cos(angle)
    values = image.astype(np.float32).reshape(image_height, image_width, -1)
    blur = 0.5 * max(scale - 1.0, 0.0)
    if blur > 0:
        values = np.asarray(ndimage.gaussian_filter(values, (blur, blur, 0)))
    planes = [
        ndimage.map_coordinates(values[..., i], (y, x), order=1, mode="nearest")
        for i in range(values.shape[2])
    ]
    cut = np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)
    return np.asarray(cut if image.ndim == 3 else cut[..., 0])


def _rotation(angle: float) -> NDArray[np.float64]:
    """Rows of the turned axes: along, then across."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
