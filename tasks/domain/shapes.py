"""Defect shapes: what the masks of real defects look like, and new regions drawn like them.

A component of a mask is told by its extent along its principal axis, its mean width (area over
length), its angle to the bead and how far it strays from a straight line. A new region takes the
shape of one real component, its size and angle jittered (a smoothed bootstrap: Silverman 1986,
6.4), its outline drawn anew: a random-walk tube where it is long, a wavering blob where it is not.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from tasks.domain.records import Record

BoolMask = NDArray[np.bool_]
Point = tuple[float, float]

MIN_COMPONENT_PX = 6
LONG = 2.5  # length over width from which a component is a line
SIZE_JITTER, ANGLE_JITTER_DEG = 0.15, 8.0
STEP_PX = 0.5
WAVE_PX, WAVERING = 6.0, 0.17  # along a line, over which its width wavers, and its spread
MIN_RADIUS_PX = 0.8  # thinner lines fall apart


class DefectShape(Record):
    """One connected component of a real defect's mask, in the pixels of its image."""

    length_px: float = Field(gt=0, description="Extent along the principal axis")
    width_px: float = Field(gt=0, description="Area over length")
    angle_deg: float = Field(description="Principal axis to the bead's axis, in (-90, 90]")
    stray: float = Field(ge=0, description="RMS distance of its spine from the axis over length")
    parts: int = Field(ge=1, description="Components of the defect it belongs to")


def measured_shapes(defect: BoolMask, axis: Point) -> tuple[DefectShape, ...]:
    """The shapes of a mask's components, largest first; specks of under 6 px are left out.

    Args:
        defect: (H, W).
        axis: unit vector (row, col) along the bead.
    """
    labels, count = ndimage.label(defect, structure=np.ones((3, 3), dtype=bool))
    points = [np.argwhere(labels == i + 1).astype(np.float64) for i in range(count)]
    points = sorted((p for p in points if len(p) >= MIN_COMPONENT_PX), key=len, reverse=True)
    return tuple(_measured(p, axis, len(points)) for p in points)


def _measured(points: NDArray[np.float64], axis: Point, parts: int) -> DefectShape:
    """The shape of one component's (row, col) points."""
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(centred.T) + 1e-9 * np.eye(2))
    along, across = centred @ vectors[:, 1], centred @ vectors[:, 0]
    length = float(np.ptp(along)) + 1.0
    places = np.round(along - along.min()).astype(int)
    spine = np.bincount(places, weights=across) / np.maximum(np.bincount(places), 1)
    angle = np.degrees(np.arctan2(vectors[0, 1], vectors[1, 1]) - np.arctan2(*axis))
    return DefectShape(
        length_px=length,
        width_px=len(points) / length,
        angle_deg=float(90.0 - (90.0 - angle) % 180.0),
        stray=float(np.sqrt(np.mean(spine**2))) / length,
        parts=parts,
    )


def drawn_like(
    shapes: Sequence[DefectShape],
    shape_hw: tuple[int, int],
    anchor: Point,
    axis: Point,
    max_length_px: float,
    rng: np.random.Generator,
) -> BoolMask:
    """A new defect shape about an anchor, like one of the given ones; not yet cut to the bead.

    Args:
        shapes: of real defects, one or more.
        shape_hw: of the image.
        anchor: (row, col) of its middle.
        axis: unit vector (row, col) along the bead.
        max_length_px: what is longer is drawn this long.
        rng: decides everything.

    Returns:
        (H, W) bool.
    """
    first = shapes[int(rng.integers(len(shapes)))]
    region = _component(first, shape_hw, anchor, axis, max_length_px, rng)
    reach = 0.35 * max_length_px
    for _ in range(min(first.parts, 4) - 1):
        other = shapes[int(rng.integers(len(shapes)))]
        moved = np.asarray(anchor) + rng.uniform(-reach, reach, 2)
        here = (float(moved[0]), float(moved[1]))
        region |= _component(other, shape_hw, here, axis, reach, rng)
    return region


def _component(
    like: DefectShape,
    shape_hw: tuple[int, int],
    anchor: Point,
    axis: Point,
    max_length_px: float,
    rng: np.random.Generator,
) -> BoolMask:
    """One component, its size and angle jittered."""
    length, width = np.array([like.length_px, like.width_px]) * np.exp(
        rng.normal(0.0, SIZE_JITTER, 2)
    )
    length = min(length, max_length_px)
    turn = np.radians(like.angle_deg + rng.normal(0.0, ANGLE_JITTER_DEG))
    heading = float(np.arctan2(axis[0], axis[1]) + turn)
    if like.length_px >= LONG * like.width_px:
        return _line(shape_hw, anchor, heading, length, width, like.stray, rng)
    return _blob(shape_hw, anchor, heading, length, width, rng)


def _line(
    shape_hw: tuple[int, int],
    anchor: Point,
    heading: float,
    length: float,
    width: float,
    stray: float,
    rng: np.random.Generator,
) -> BoolMask:
    """A tube about a random walk that strays from its axis about as far as the real one."""
    step = max(STEP_PX, width / 8)
    chord = max(length - width, 2 * step)  # its round ends add the rest
    count = max(3, int(chord / step))
    along = np.linspace(-chord / 2, chord / 2, count)
    walk = np.cumsum(np.cumsum(rng.normal(0.0, 1.0, count)))
    walk -= np.polynomial.Polynomial.fit(along, walk, 1)(along)
    walk *= stray * length / max(float(np.sqrt(np.mean(walk**2))), 1e-6)
    rows = anchor[0] + along * np.sin(heading) + walk * np.cos(heading)
    cols = anchor[1] + along * np.cos(heading) - walk * np.sin(heading)
    waves = WAVE_PX / step
    noise = ndimage.gaussian_filter1d(rng.normal(0.0, 1.0, count), waves, mode="wrap")
    wavering = WAVERING * np.sqrt(2 * np.sqrt(np.pi) * waves) * noise
    return _discs(shape_hw, rows, cols, np.maximum(width / 2 * (1 + wavering), MIN_RADIUS_PX))


def _discs(
    shape_hw: tuple[int, int],
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> BoolMask:
    """All pixels within its radius of one of the points."""
    reach = int(np.ceil(radii.max()))
    steps = np.arange(-reach, reach + 1)
    rr = np.rint(rows).astype(np.int64)[:, None, None] + steps[:, None]
    cc = np.rint(cols).astype(np.int64)[:, None, None] + steps[None, :]
    away = (rr - rows[:, None, None]) ** 2 + (cc - cols[:, None, None]) ** 2
    inside = (rr >= 0) & (rr < shape_hw[0]) & (cc >= 0) & (cc < shape_hw[1])
    near = inside & (away < radii[:, None, None] ** 2)
    mask = np.zeros(shape_hw, dtype=bool)
    mask[np.broadcast_to(rr, near.shape)[near], np.broadcast_to(cc, near.shape)[near]] = True
    return mask


def _blob(
    shape_hw: tuple[int, int],
    anchor: Point,
    heading: float,
    length: float,
    width: float,
    rng: np.random.Generator,
) -> BoolMask:
    """An ellipse of that length and mean width whose outline wavers in low harmonics."""
    thickness = 4 / np.pi * width  # an ellipse's axis is longer than its mean width
    reach = int(np.ceil(max(length, thickness))) + 1
    top, left = (max(int(at) - reach, 0) for at in anchor)
    rows, cols = np.ogrid[
        top : min(int(anchor[0]) + reach + 1, shape_hw[0]),
        left : min(int(anchor[1]) + reach + 1, shape_hw[1]),
    ]
    dr, dc = rows - anchor[0], cols - anchor[1]
    along = dr * np.sin(heading) + dc * np.cos(heading)
    across = dr * np.cos(heading) - dc * np.sin(heading)
    angle = np.arctan2(across, along)
    radius = np.ones_like(angle)
    for harmonic in (2, 3, 5):
        radius += rng.normal(0, 0.2 / harmonic) * np.cos(harmonic * angle + rng.uniform(0, 6.3))
    extent = np.hypot(along / (length / 2), across / (thickness / 2))
    near = extent <= np.minimum(radius, 2.0)
    mask = np.zeros(shape_hw, dtype=bool)
    mask[top : top + near.shape[0], left : left + near.shape[1]] = near
    return mask
