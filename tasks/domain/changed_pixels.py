"""The defect proper: the pixels of the region that an edit changed by more than grain could.

Grain drawn anew changes a pixel of channel c by d_c of standard deviation sqrt(2) sigma_c. Strong
pixels: |d_c| > 4 sqrt(2) sigma_c in a channel. Of the others, w = 1, weak ones: |m| > 4 s with the
local mean m = G_1.5*(w d_c) / G_1.5*w and its standard deviation under grain alone,
s = sqrt(2) sigma_c sqrt(G_(1.5/sqrt 2)*w / (4 pi 1.5^2)) / G_1.5*w; so a strong pixel lends its
neighbours nothing. Both within M, in pieces of 12 px or more: what is smaller may be grain. The
region M is where editing was allowed; a detector taught M would learn too large defects.
"""

import math
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.images import Pixels, display_range, display_rgb
from tasks.domain.luminance import BoolMask, require_same_grid
from tasks.domain.noise import grain_sigma

_BLUR_PX = 1.5
_GRAIN_FLOOR = 0.5  # grey levels: rounding
_TIMES = 4.0
_PIECE_PX = 12
_MARGIN_PX = 8
_LEAST_WEIGHT = 0.25  # where most neighbours are strong, there is no local mean
_EIGHT = np.ones((3, 3), dtype=bool)


class MaskOrigin(StrEnum):
    """What a defect's mask is: the change, the region for want of one, or none (a sound image)."""

    CHANGE = "change"
    REGION = "region"
    NONE = "none"


def changed_pixels(before: Pixels, after: Pixels, region: BoolMask, surface: BoolMask) -> BoolMask:
    """Where the image shows something else than before.

    Args:
        before, after: source and candidate, of one size and depth.
        region: (H, W), where editing was allowed.
        surface: (H, W), where grain is measured, e.g. the bead; must not be empty.

    Returns:
        (H, W), within the region; empty when nothing changed visibly.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same_grid(before, after, region, surface)
    changed = np.zeros(region.shape, dtype=bool)
    if not region.any():
        return changed
    scale = display_range(before)
    was, now = (display_rgb(image, scale).astype(np.float32) for image in (before, after))
    place = _around(region)
    difference = (now - was)[place]
    sigma = np.array([grain_sigma(was[..., c], surface) for c in range(was.shape[2])])
    noise = math.sqrt(2.0) * np.maximum(sigma, _GRAIN_FLOOR)
    strong = (np.abs(difference) > _TIMES * noise).any(axis=2)
    weak = _weak_pixels(difference, ~strong, noise)
    changed[place] = _large_pieces((strong | weak) & region[place])
    return changed


def defect_mask(
    before: Pixels, after: Pixels, region: BoolMask, surface: BoolMask
) -> tuple[BoolMask, MaskOrigin]:
    """The mask of an accepted defect, as `changed_pixels`; its region where none stands out."""
    changed = changed_pixels(before, after, region, surface)
    return (changed, MaskOrigin.CHANGE) if changed.any() else (region, MaskOrigin.REGION)


def _weak_pixels(
    difference: NDArray[np.float32], where: BoolMask, noise: NDArray[np.float64]
) -> BoolMask:
    """Pixels (H, W) of `where` whose local mean difference (H, W, 3) exceeds what noise gives."""
    weight = where.astype(np.float64)
    total = ndimage.gaussian_filter(weight, _BLUR_PX)
    squares = ndimage.gaussian_filter(weight, _BLUR_PX / math.sqrt(2.0))
    spread = np.sqrt(np.maximum(squares, 0) / (4 * math.pi * _BLUR_PX**2))
    found = np.zeros(where.shape, dtype=bool)
    for channel, sigma in enumerate(noise):
        mean = ndimage.gaussian_filter(difference[..., channel] * weight, _BLUR_PX)
        found |= np.abs(mean) > _TIMES * sigma * spread
    return np.asarray(found & where & (total > _LEAST_WEIGHT))


def _around(region: BoolMask) -> tuple[slice, slice]:
    """The region's box with a margin that the blur does not see beyond."""
    rows, cols = ndimage.find_objects(region.astype(np.uint8))[0]
    return (
        slice(max(rows.start - _MARGIN_PX, 0), rows.stop + _MARGIN_PX),
        slice(max(cols.start - _MARGIN_PX, 0), cols.stop + _MARGIN_PX),
    )


def _large_pieces(mask: BoolMask) -> BoolMask:
    """The pieces of a mask that are large enough."""
    labels, _ = ndimage.label(mask, structure=_EIGHT)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _PIECE_PX)[labels])
