"""Gate 1: is the edit confined, coherent and visible?

IoU(a, b) = |a & b| / |a | b|;  inside share = sum_bead |x' - x| / sum |x' - x|;
change = mean_M |G_1.5 * (y' - y)| / E, with E = sigma sqrt(2) sqrt(2/pi) / (2 sqrt(pi) 1.5) what
two independent draws of white grain sigma give. Source: article 3.5.
"""

import math

import numpy as np
from scipy import ndimage

from tasks.domain.luminance import AnyImage, BoolMask, GreyImage, require_same_grid
from tasks.domain.parameters import PlausibleParams
from tasks.domain.records import Record

_BLUR_PX = 1.5
_GRAIN_FLOOR = 0.5
_GRAIN_GAIN = math.sqrt(2.0) * math.sqrt(2.0 / math.pi) / (2.0 * math.sqrt(math.pi) * _BLUR_PX)


class Plausibility(Record):
    """The figures of gate 1; higher is better in all.

    bead_iou, inside_share, histogram and seam are in [0, 1] (the last two are typicalities among
    real beads); change is in multiples of re-drawn grain, >= 0.
    """

    bead_iou: float
    inside_share: float
    histogram: float
    seam: float
    change: float


def inside_share(before_rgb: AnyImage, after_rgb: AnyImage, bead: BoolMask) -> float:
    """Share of the total change |x' - x| that lies inside the bead.

    Args:
        before_rgb, after_rgb: (H, W, 3), 0-255, same shape.
        bead: (H, W), True on the bead.

    Returns:
        [0, 1]; 1.0 when nothing changed.

    Raises:
        ShapeError: the shapes differ.
    """
    change = _absolute_change(before_rgb, after_rgb, bead)
    total = float(change.sum())
    return float(change[bead].sum()) / total if total > 0 else 1.0


def outside_change(before_rgb: AnyImage, after_rgb: AnyImage, mask: BoolMask) -> float:
    """Mean absolute change outside the mask; 0 means untouched.

    Args:
        before_rgb, after_rgb: (H, W, 3), 0-255, same shape.
        mask: (H, W), True where editing was allowed.

    Returns:
        Grey levels in [0, 255]; 0.0 when the mask covers everything.

    Raises:
        ShapeError: the shapes differ.
    """
    change = _absolute_change(before_rgb, after_rgb, mask)
    return 0.0 if mask.all() else float(change[~mask].mean())


def mask_iou(a: BoolMask, b: BoolMask) -> float:
    """Intersection over union of two (H, W) masks, in [0, 1]; 1.0 when both are empty.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same_grid(a, b)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def visible_change(
    before_grey: GreyImage, after_grey: GreyImage, region: BoolMask, sigma: float
) -> float:
    """Mean change in the region, in multiples of what grain drawn anew would give.

    Args:
        before_grey, after_grey: (H, W), 0-255.
        region: (H, W), True on the edited region M.
        sigma: the grain's standard deviation, grey levels; at least .5 is assumed, the rounding of
            whole grey levels.

    Returns:
        >= 0: 0 is no change, 1 is only new grain; 0.0 when the region is empty.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same_grid(before_grey, after_grey, region)
    if not region.any():
        return 0.0
    difference = np.asarray(after_grey, np.float64) - np.asarray(before_grey, np.float64)
    blurred = np.abs(ndimage.gaussian_filter(difference, _BLUR_PX))
    return float(blurred[region].mean()) / (_GRAIN_GAIN * max(sigma, _GRAIN_FLOOR))


def plausibility_reasons(
    figures: Plausibility, params: PlausibleParams, is_placebo: bool
) -> tuple[str, ...]:
    """Every reason why gate 1 refuses; none when it accepts. Placebos need not change anything."""
    asked = [
        ("bead_iou", figures.bead_iou, params.min_bead_iou, "bead found again"),
        ("inside_share", figures.inside_share, params.min_inside_share, "change inside the bead"),
        ("histogram", figures.histogram, params.min_histogram, "typicality among real beads"),
        ("seam", figures.seam, params.min_seam, "typicality among real beads"),
    ]
    if not is_placebo:
        asked.append(("change", figures.change, params.min_change, "multiples of the grain"))
    return tuple(
        f"{name} {_short(value)} < {_short(least)} ({meaning})"
        for name, value, least, meaning in asked
        if not value >= least
    )


def _short(value: float) -> str:
    """Two digits without the leading zero, cut so that a refused value never reads as its limit."""
    text = f"{math.floor(value * 100) / 100:.2f}" if math.isfinite(value) else str(value)
    return text.removeprefix("0") if text.startswith("0.") else text


def _absolute_change(
    before_rgb: AnyImage, after_rgb: AnyImage, mask: BoolMask
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    require_same_grid(before_rgb, after_rgb, mask)
    return np.abs(np.asarray(after_rgb, np.float64) - np.asarray(before_rgb, np.float64))
