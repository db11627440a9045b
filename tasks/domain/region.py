"""The region M: which bead pixels an edit may change, drawn in the shape of a defect.

Shapes are sized by the window's side s, so that they survive the model's latent grid whatever
its native resolution: a crack's tube is .12 s wide, pores .10-.22 s, a patch up to .55 s. A
learned shape has the size of the plant's own defects, grown by a rim that the blend needs.
Source: article 3.2 (M is 1 on the bead pixels to edit).
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import disk

from tasks.domain.errors import BadParameters, ImageRefused
from tasks.domain.records import RegionStrategy
from tasks.domain.shapes import DefectShape, drawn_like

BoolMask = NDArray[np.bool_]
Point = tuple[float, float]

MIN_REGION_PX = 12
TUBE_RADIUS = 0.06
REACH = 0.36
LEARNED_REACH = 1.6  # longest learned region, in sides
RIM_PX = 2


def draw_region(
    bead: BoolMask,
    strategy: RegionStrategy,
    rng: np.random.Generator,
    side_px: int,
    shapes: Sequence[DefectShape] = (),
) -> BoolMask:
    """A region of the given shape, wholly inside the bead.

    Args:
        bead: (H, W), True on the weld seam.
        strategy: the shape; `bead` returns the bead itself.
        rng: decides place, size and form.
        side_px: side of the window the model will see, in image pixels.
        shapes: of real defects, for `learned`.

    Returns:
        (H, W) bool, a subset of `bead`, at least 12 pixels large.

    Raises:
        ImageRefused: the bead is too small to hold a region.
        BadParameters: `learned` without shapes.
    """
    if strategy is RegionStrategy.LEARNED and not shapes:
        raise BadParameters(
            "Expected a model set with shapes of real defects for the region `learned`, but it has "
            "none; adapt a set to the plant, or name another region"
        )
    if int(bead.sum()) < MIN_REGION_PX:
        raise ImageRefused(f"Expected a bead of {MIN_REGION_PX} px or more, but got {bead.sum()}")
    if strategy is RegionStrategy.BEAD:
        return bead.copy()
    # Where the image cuts the bead is no edge of the bead, unless the bead is all there is.
    padded = np.pad(bead, 1, mode="constant" if bead.all() else "edge")
    depth = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    draw = _SHAPES.get(strategy, partial(_learned, shapes))
    for _ in range(8):
        anchor = _anchor(depth, strategy, rng)
        axis = local_axis(bead, anchor, side_px)
        region = draw(bead.shape, anchor, axis, side_px, rng) & bead
        if int(region.sum()) >= MIN_REGION_PX:
            return region
    raise ImageRefused(f"Expected room for a {strategy} region, but the bead is too thin")


def _anchor(
    depth: NDArray[np.float64], strategy: RegionStrategy, rng: np.random.Generator
) -> Point:
    """A point of the bead: near its edge for `toe`, else in its inner half."""
    if strategy is RegionStrategy.TOE:
        chosen = (depth > 0) & (depth <= max(2.0, 0.15 * depth.max()))
    else:
        chosen = depth >= 0.4 * depth.max()
    rows, cols = np.nonzero(chosen)
    pick = int(rng.integers(len(rows)))
    return float(rows[pick]), float(cols[pick])


def local_axis(bead: BoolMask, anchor: Point, side_px: int) -> Point:
    """Unit vector (row, col) along the bead near the anchor, by principal components."""
    if bead.all():  # no bead: the image's own axis
        return 0.0, 1.0
    rows, cols = np.nonzero(bead)
    near = np.hypot(rows - anchor[0], cols - anchor[1]) < 1.2 * side_px
    points = np.stack([rows[near], cols[near]]).astype(np.float64)
    if points.shape[1] < 3:
        return 0.0, 1.0
    _, vectors = np.linalg.eigh(np.cov(points))
    return float(vectors[0, -1]), float(vectors[1, -1])


def _tube(shape: tuple[int, ...], path: NDArray[np.float64], radius_px: float) -> BoolMask:
    """All pixels within `radius_px` of a path of (row, col) points."""
    mask = np.zeros(shape[:2], dtype=bool)
    for row, col in path:
        rr, cc = disk((row, col), radius_px, shape=shape[:2])
        mask[rr, cc] = True
    return mask


def _random_walk(
    start: Point, angle: float, length_px: float, wander: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Points 1 px apart from `start`, walking both ways, the heading diffusing by `wander`."""
    steps = max(2, int(length_px / 2))
    halves = []
    for heading in (angle, angle + np.pi):
        headings = heading + np.cumsum(rng.normal(0.0, wander, steps))
        moves = np.stack([np.sin(headings), np.cos(headings)], axis=1)
        halves.append(np.asarray(start) + np.cumsum(moves, axis=0))
    return np.concatenate([halves[0][::-1], np.asarray([start]), halves[1]])


def _crack(
    shape: tuple[int, ...], anchor: Point, axis: Point, side_px: int, rng: np.random.Generator
) -> BoolMask:
    """A random-walk tube, along the bead or across it."""
    along = float(np.arctan2(axis[0], axis[1]))
    angle = along + (0.0 if rng.random() < 0.6 else np.pi / 2) + rng.normal(0.0, 0.25)
    length = side_px * rng.uniform(0.35, 2 * REACH)
    path = _random_walk(anchor, angle, length, 0.12, rng)
    return _tube(shape, path, max(2.5, TUBE_RADIUS * side_px * rng.uniform(0.85, 1.3)))


def _toe(
    shape: tuple[int, ...], anchor: Point, axis: Point, side_px: int, rng: np.random.Generator
) -> BoolMask:
    """A strip along the bead's edge."""
    along = float(np.arctan2(axis[0], axis[1]))
    path = _random_walk(anchor, along, side_px * rng.uniform(0.4, 2 * REACH), 0.02, rng)
    return _tube(shape, path, max(3.0, side_px * rng.uniform(0.09, 0.14)))


def _pores(
    shape: tuple[int, ...], anchor: Point, axis: Point, side_px: int, rng: np.random.Generator
) -> BoolMask:
    """A cluster of 2 to 7 discs."""
    mask = np.zeros(shape[:2], dtype=bool)
    spread = side_px * rng.uniform(0.08, 0.18)
    for _ in range(int(rng.integers(2, 8))):
        centre = rng.normal(anchor, spread)
        centre = np.clip(
            centre, np.asarray(anchor) - REACH * side_px, np.asarray(anchor) + REACH * side_px
        )
        rr, cc = disk(tuple(centre), max(2.5, side_px * rng.uniform(0.05, 0.11)), shape=shape[:2])
        mask[rr, cc] = True
    return mask


def _patch(
    shape: tuple[int, ...], anchor: Point, axis: Point, side_px: int, rng: np.random.Generator
) -> BoolMask:
    """A blob: an ellipse whose outline wavers in low harmonics."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    dr, dc = rows - anchor[0], cols - anchor[1]
    along, across = dr * axis[0] + dc * axis[1], dc * axis[0] - dr * axis[1]
    stretch = rng.uniform(0.8, 1.35)
    angle = np.arctan2(across, along)
    radius = side_px * rng.uniform(0.15, 0.27) * np.ones_like(angle)
    for harmonic in (2, 3, 5):
        radius *= 1 + rng.normal(0, 0.22 / harmonic) * np.cos(
            harmonic * angle + rng.uniform(0, 6.3)
        )
    reach = np.minimum(radius, REACH * side_px)
    return np.asarray(np.hypot(along / stretch, across * stretch) <= reach)


def _band(
    shape: tuple[int, ...], anchor: Point, axis: Point, side_px: int, rng: np.random.Generator
) -> BoolMask:
    """A length of the bead, across its whole width within the window."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    dr, dc = rows - anchor[0], cols - anchor[1]
    along, across = dr * axis[0] + dc * axis[1], dc * axis[0] - dr * axis[1]
    length = side_px * rng.uniform(0.3, 2 * REACH)
    return np.asarray((np.abs(along) <= length / 2) & (np.abs(across) <= REACH * side_px))


def _learned(
    shapes: Sequence[DefectShape],
    shape: tuple[int, ...],
    anchor: Point,
    axis: Point,
    side_px: int,
    rng: np.random.Generator,
) -> BoolMask:
    """A shape like those of real defects."""
    drawn = drawn_like(shapes, (shape[0], shape[1]), anchor, axis, LEARNED_REACH * side_px, rng)
    return np.asarray(ndimage.binary_dilation(drawn, iterations=RIM_PX))


_Shape = Callable[[tuple[int, ...], Point, Point, int, np.random.Generator], BoolMask]
_SHAPES: dict[RegionStrategy, _Shape] = {
    RegionStrategy.CRACK: _crack,
    RegionStrategy.TOE: _toe,
    RegionStrategy.PORES: _pores,
    RegionStrategy.PATCH: _patch,
    RegionStrategy.BAND: _band,
}
