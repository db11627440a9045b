"""The defect proper: the pixels of the region that an edit changed by more than repainting does.

With a = max_c |x'_c - x_c|, a pixel of M is the defect's when a > max(f, 4 sqrt(2) sigma), in
pieces of 12 px or more. sigma is the source's grain (drawn anew, it changes a by sqrt(2) sigma); f
is the floor of repainting: an inpainter draws ripples and brush marks anew all over M, so f is the
.95 quantile of a over the regions of placebos, edits by the same code that show no defect. The
region M is where editing was allowed; a detector taught M would learn too large defects.
"""

import math
from collections.abc import Iterable
from enum import StrEnum

import numpy as np
from scipy import ndimage

from tasks.domain.images import Pixels, display_range, display_rgb
from tasks.domain.luminance import BoolMask, FloatArray, require_same_grid
from tasks.domain.noise import grain_sigma

FLOOR_QUANTILE = 0.95
MIN_PLACEBOS = 4
_GRAIN_FLOOR = 0.5  # grey levels: rounding
_TIMES = 4.0
_PIECE_PX = 12
_EIGHT = np.ones((3, 3), dtype=bool)


class MaskOrigin(StrEnum):
    """What a defect's mask is: the change, the region for want of one, or none (a sound image)."""

    CHANGE = "change"
    REGION = "region"
    NONE = "none"


def change_levels(before: Pixels, after: Pixels) -> FloatArray:
    """(H, W) the largest change of a channel, grey levels of the 8-bit view of `before`.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same_grid(before, after)
    scale = display_range(before)
    was, now = (display_rgb(image, scale).astype(np.float32) for image in (before, after))
    return np.asarray(np.abs(now - was).max(axis=2), dtype=np.float32)


def repaint_floor(placebos: Iterable[FloatArray]) -> float:
    """What repainting alone changes: the .95 quantile of placebos' change levels.

    Args:
        placebos: (k,) the levels of each within its region.

    Returns:
        Grey levels, >= 0; 0 with fewer than 4 placebos, which tell nothing.
    """
    levels = [one for one in placebos if one.size]
    if len(levels) < MIN_PLACEBOS:
        return 0.0
    return float(np.quantile(np.concatenate(levels), FLOOR_QUANTILE))


def changed_pixels(
    before: Pixels, after: Pixels, region: BoolMask, surface: BoolMask, floor: float = 0.0
) -> BoolMask:
    """Where the image shows something else than before.

    Args:
        before, after: source and candidate, of one size and depth.
        region: (H, W), where editing was allowed.
        surface: (H, W), where grain is measured, e.g. the bead; must not be empty.
        floor: what repainting alone changes, grey levels.

    Returns:
        (H, W), within the region; empty when nothing stands out.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same_grid(before, after, region, surface)
    levels = change_levels(before, after)
    was = display_rgb(before)
    sigma = max(grain_sigma(was[..., c].astype(np.float32), surface) for c in range(was.shape[2]))
    grain = _TIMES * math.sqrt(2.0) * max(sigma, _GRAIN_FLOOR)
    return _large_pieces((levels > max(floor, grain)) & region)


def defect_mask(
    before: Pixels, after: Pixels, region: BoolMask, surface: BoolMask, floor: float = 0.0
) -> tuple[BoolMask, MaskOrigin]:
    """The mask of an accepted defect, as `changed_pixels`; its region where none stands out."""
    changed = changed_pixels(before, after, region, surface, floor)
    return (changed, MaskOrigin.CHANGE) if changed.any() else (region, MaskOrigin.REGION)


def _large_pieces(mask: BoolMask) -> BoolMask:
    """The pieces of a mask that are large enough."""
    labels, _ = ndimage.label(mask, structure=_EIGHT)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _PIECE_PX)[labels])
