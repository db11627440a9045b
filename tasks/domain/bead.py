"""The bead among a segmenter's masks: the best S_mask above its threshold.

S_mask = .35 e + .30 c + .20 h + .15 z, with e = clip((L/H - 1)/5, 0, 1) of the minimum-area
rectangle L x H, c = |m_in - m_ring| / (|m_in - m_ring| + s_in + s_ring), h = 1/(1 + s_in/m_in),
z = 1 - |centroid - image centre| / half diagonal; m and s are mean and standard deviation of the
grey levels. Source: article 3.1. The rectangle shares a side with the convex hull
(Freeman & Shapira, CACM 1975).
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull

from tasks.domain.errors import ShapeError
from tasks.domain.luminance import BoolMask, GreyImage, require_pixels, require_same_grid
from tasks.domain.parameters import SegmentParams
from tasks.domain.records import MaskScore

BoolMasks = npt.NDArray[np.bool_]

_RING_SHARE, _MIN_RING_PX = 0.05, 3
_MAX_AREA_SHARE, _MIN_AREA_SHARE = 0.9, 0.002
_HELD_BORDER_SHARE, _CORNER_SHARE = 0.95, 0.2
_SPUR_SHARE = 0.4
_MAX_HOLE_SHARE = 0.05
_EIGHT = np.ones((3, 3), dtype=bool)


def min_area_rectangle_sides(mask: BoolMask) -> tuple[float, float]:
    """The sides (long, short) of the smallest rectangle, at any angle, that holds the mask.

    Args:
        mask: (H, W).

    Returns:
        Pixels, long >= short. Pixels are unit squares: an upright a x b block gives exactly its
        own sides, one pixel (1, 1), an empty mask (0, 0).
    """
    if not mask.any():
        return 0.0, 0.0
    corners = _outline_corners(mask)
    hull = corners[ConvexHull(corners).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    sides = np.stack([np.ptp(hull @ along.T, axis=0), np.ptp(hull @ across.T, axis=0)])
    areas = sides.prod(axis=0)
    smallest = sides[:, areas <= areas.min() * (1 + 1e-9)]  # of equal ones the longest, in any pose
    best = smallest[:, int(np.argmax(smallest.max(axis=0)))]
    return float(best.max()), float(best.min())


def mask_score(grey: GreyImage, mask: BoolMask, params: SegmentParams) -> MaskScore:
    """S_mask and its parts, each in [0, 1], higher is more bead-like.

    Args:
        grey: (H, W), 0-255.
        mask: (H, W), True on the mask; measured as it is, see `clean_mask`.
        params: the weights.

    Returns:
        contrast is 0 where no ring is left around the mask or nothing differs at all;
        homogeneity is 1 for a black mask. The ring is 5 % of the short side wide, at least 3 px.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the mask is empty.
    """
    require_same_grid(grey, mask)
    require_pixels(mask, "mask to score")
    long_px, short_px = min_area_rectangle_sides(mask)
    inside, ring = _inside_and_ring(grey, mask, max(_MIN_RING_PX, round(_RING_SHARE * short_px)))
    elongation = min(max((long_px / short_px - 1) / 5, 0.0), 1.0)
    contrast, homogeneity = _contrast(inside, ring), _homogeneity(inside)
    centring = _centring(mask)
    total = (
        params.weight_elongation * elongation
        + params.weight_contrast * contrast
        + params.weight_homogeneity * homogeneity
        + params.weight_centring * centring
    )
    return MaskScore(
        total=min(total, 1.0),
        elongation=elongation,
        contrast=contrast,
        homogeneity=homogeneity,
        centring=centring,
    )


def is_background(mask: BoolMask) -> bool:
    """Whether a mask is the plate around a bead rather than a bead.

    It is when it covers over 90 % of the image, or 95 % of one whole border (the half plate
    beside a bead that crosses the image), or reaches the middle of all four borders. Corners do
    not count, so a bead may run from corner to corner. An empty mask is not background.
    """
    if mask.mean() > _MAX_AREA_SHARE:
        return True
    borders = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    if any(border.mean() >= _HELD_BORDER_SHARE for border in borders):
        return True
    cuts = [int(_CORNER_SHARE * len(border)) for border in borders]
    return all(bool(b[cut : len(b) - cut].any()) for b, cut in zip(borders, cuts, strict=True))


def best_mask(
    grey: GreyImage, masks: BoolMasks, params: SegmentParams
) -> tuple[int, MaskScore] | None:
    """The index of the mask that is the bead, and its S_mask; None when none qualifies.

    Masks are scored after `clean_mask`. Background, and specks below .2 % of the image, are left
    out; of equal scores the first wins.

    Args:
        grey: (H, W), 0-255.
        masks: (k, H, W) bool; k may be 0.

    Raises:
        ShapeError: the shapes differ.
    """
    best = _highest(grey, masks, params)
    return best if best is not None and best[1].total > params.min_s_mask else None


def best_bead(
    grey: GreyImage, masks: BoolMasks, params: SegmentParams
) -> tuple[BoolMask, MaskScore] | None:
    """The cleaned mask (H, W) of the bead and its S_mask, as `best_mask`; None without a bead."""
    best = best_mask(grey, masks, params)
    return None if best is None else (clean_mask(masks[best[0]]), best[1])


def no_bead_reason(grey: GreyImage, masks: BoolMasks, params: SegmentParams) -> str:
    """Why `best_bead` found none, e.g. "no bead: best S_mask 0.51 <= 0.65"."""
    if len(masks) == 0:
        return "no bead: the segmenter found no mask"
    best = _highest(grey, masks, params)
    if best is None:
        return f"no bead: all {len(masks)} masks are background or specks"
    cut = math.floor(best[1].total * 100) / 100
    return f"no bead: best S_mask {cut:.2f} <= {params.min_s_mask:.2f}"


def clean_mask(mask: BoolMask) -> BoolMask:
    """The largest component (8-connected, first of equals), small holes filled, spurs cut.

    A hole is filled up to 5 % of the component's pixels, so that a ring stays a ring.

    Args:
        mask: (H, W).

    Returns:
        (H, W) bool, a copy; empty when the mask is.
    """
    cleaned = np.zeros(mask.shape, dtype=np.bool_)
    labels, _ = ndimage.label(mask, _EIGHT)
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.size == 0:
        return cleaned
    largest = int(np.argmax(sizes)) + 1
    box = ndimage.find_objects(labels)[largest - 1]
    component = labels[box] == largest
    holes, _ = ndimage.label(ndimage.binary_fill_holes(component) & ~component)
    hole_sizes = np.bincount(holes.ravel())
    is_small = hole_sizes <= _MAX_HOLE_SHARE * sizes[largest - 1]
    is_small[0] = False
    cleaned[box] = component | is_small[holes]
    return _without_spurs(cleaned)


def _without_spurs(mask: BoolMask) -> BoolMask:
    """The mask opened by a disc of 40 % of its largest inscribed one: ragged outgrowths fall off.

    The image's border is no border of the mask: what touches it is taken to go on.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    radius = _SPUR_SHARE * float(depth.max())
    if radius < 1.0:
        return mask
    core = np.pad(depth > radius, 1, mode="edge")
    opened = (ndimage.distance_transform_edt(~core)[1:-1, 1:-1] <= radius) & mask
    labels, count = ndimage.label(opened, _EIGHT)
    largest = int(np.argmax(np.bincount(labels.ravel())[1:])) + 1 if count else 0
    return np.asarray(labels == largest) if count else mask


def _highest(
    grey: GreyImage, masks: BoolMasks, params: SegmentParams
) -> tuple[int, MaskScore] | None:
    """The highest score among the masks that could be a bead, whatever the threshold."""
    if masks.ndim != grey.ndim + 1 or masks.shape[1:] != grey.shape:
        raise ShapeError(
            f"Expected masks (k, {grey.shape[0]}, {grey.shape[1]}), but got {masks.shape}; "
            "segment the image they are scored on"
        )
    best: tuple[int, MaskScore] | None = None
    for index, mask in enumerate(masks):
        cleaned = clean_mask(mask)
        if is_background(mask) or is_background(cleaned) or cleaned.mean() < _MIN_AREA_SHARE:
            continue
        score = mask_score(grey, cleaned, params)
        if best is None or score.total > best[1].total:
            best = index, score
    return best


def _outline_corners(mask: BoolMask) -> npt.NDArray[np.float64]:
    """(4 r, 2) pixel corners (row, col) at both ends of each of the mask's r rows."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - mask[rows][:, ::-1].argmax(axis=1)
    pairs = [(rows + down, cols) for down in (0, 1) for cols in (left, right)]
    return np.concatenate([np.stack(pair, axis=1) for pair in pairs]).astype(np.float64)


def _inside_and_ring(
    grey: GreyImage, mask: BoolMask, width_px: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Grey levels in the mask and in the ring around it, each (n,)."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    near = tuple(slice(max(s.start - width_px, 0), s.stop + width_px) for s in box)
    local, values = mask[near], np.asarray(grey[near], dtype=np.float64)
    ring = ~local & (ndimage.distance_transform_edt(~local) <= width_px)
    return values[local], values[ring]


def _contrast(inside: npt.NDArray[Any], ring: npt.NDArray[Any]) -> float:
    if ring.size == 0:
        return 0.0
    step = abs(float(inside.mean()) - float(ring.mean()))
    whole = step + float(inside.std()) + float(ring.std())
    return step / whole if whole > 0 else 0.0


def _homogeneity(inside: npt.NDArray[Any]) -> float:
    mean = float(inside.mean())
    return 1.0 / (1.0 + float(inside.std()) / mean) if mean > 0 else 1.0


def _centring(mask: BoolMask) -> float:
    rows, cols = np.nonzero(mask)
    height, width = mask.shape
    offset = math.hypot(rows.mean() + 0.5 - height / 2, cols.mean() + 0.5 - width / 2)
    return max(0.0, 1.0 - offset / (math.hypot(height, width) / 2))
