"""Seam: does the picture break along the border of the edited region?

With s the signed distance to the border of M (negative inside), n = grad s its outward normal and
g = grad I . n, all means over pixels of one contour {s}, P the mean of |g| over the parallel
contours s = +-3..6 px and e a small floor from the grain:
    roughness  A = (mean_0 |g| + e) / (P + e)                  a foreign texture breaks off
    step       B = (|mean_0 g - mean_{-3,3} g| + e/3) / (P + e)    the brightness steps
    seam = max(1, A / 1.3, B / .8)^2, a ratio of gradient energies.
The signed mean cancels texture and keeps a step; 1.3 and .8 are what unedited beads reach by
chance. The floor of 1 keeps calibrated thresholds (2 q99) clear of chance even where no real
region has a seam. Comparing the jump across a
boundary with the texture beside it is region merging's test (Nock & Nielsen, IEEE TPAMI 2004).
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.domain.luminance import BoolMask, GreyImage, require_same_grid
from tasks.domain.noise import grain_sigma

Field2D = npt.NDArray[np.float64]

_NEAREST_PX = (-3.0, 3.0)
_PARALLEL_PX = (-6.0, -5.0, -4.0, -3.0, 3.0, 4.0, 5.0, 6.0)
_HALF_WIDTH_PX = 0.8
_BEAD_MARGIN_PX = 2.0
_WINDOW_MARGIN_PX = 14
_MIN_PIXELS = 8
_ROUGHNESS_ORDINARY = 1.3
_STEP_ORDINARY = 0.8


def seam_ratio(grey: GreyImage, region: BoolMask, bead: BoolMask | None = None) -> float:
    """How much stronger the gradient across the region's border is than at parallel contours.

    Thin regions have no contour inside; then those outside alone are compared with.

    Args:
        grey: (H, W), 0-255.
        region: (H, W), True on the edited region M.
        bead: (H, W) or None; pixels within 2 px of the bead's own border are ignored, since a real
            edge lies there.

    Returns:
        A ratio of energies, >= 1; 1 is no seam, and also an empty region or one whose border lies
        wholly on the bead's or the image's.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same_grid(grey, region)
    if bead is not None:
        require_same_grid(grey, bead)
    if not region.any() or region.all():
        return 1.0
    rows, cols = _window(region)
    distance = signed_distance(region)[rows, cols]
    slope, usable = _normal_slope(np.asarray(grey[rows, cols], dtype=np.float64), distance)
    if bead is not None and bead.any() and not bead.all():
        usable &= np.abs(signed_distance(bead)[rows, cols]) > _BEAD_MARGIN_PX
    border = _on_contour(slope, distance, usable, 0.0)
    beside = {s: _on_contour(slope, distance, usable, s) for s in _PARALLEL_PX}
    beside = {s: values for s, values in beside.items() if values.size >= _MIN_PIXELS}
    if border.size < _MIN_PIXELS or not beside:
        return 1.0
    floor = 0.3 + 0.1 * grain_sigma(grey, ndimage.binary_dilation(region, iterations=4))
    return _energy_ratio(border, beside, floor)


def _energy_ratio(border: Field2D, beside: dict[float, Field2D], floor: float) -> float:
    """The seam from the slopes on the border and on the parallel contours present."""
    texture = float(np.mean([np.abs(values).mean() for values in beside.values()])) + floor
    near = [values.mean() for s, values in beside.items() if s in _NEAREST_PX]
    step = abs(float(border.mean()) - float(np.mean(near) if near else 0.0))
    roughness = (float(np.abs(border).mean()) + floor) / texture / _ROUGHNESS_ORDINARY
    jump = (step + floor / 3) / texture / _STEP_ORDINARY
    return max(1.0, roughness, jump) ** 2


def _on_contour(slope: Field2D, distance: Field2D, usable: BoolMask, offset: float) -> Field2D:
    """(k,) slopes of the usable pixels on the contour at the offset."""
    return np.asarray(slope[usable & (np.abs(distance - offset) < _HALF_WIDTH_PX)])


def signed_distance(mask: BoolMask) -> Field2D:
    """Distance in pixels to the border of the mask: negative inside, +-.5 beside the border."""
    outside = np.asarray(ndimage.distance_transform_edt(~mask))
    inside = np.asarray(ndimage.distance_transform_edt(mask))
    return np.where(mask, 0.5 - inside, outside - 0.5)


def _normal_slope(image: Field2D, distance: Field2D) -> tuple[Field2D, BoolMask]:
    """Slope of the image along the outward normal, and where that normal is well defined."""
    smooth = ndimage.gaussian_filter(distance, 1.0)
    ny, nx = np.gradient(smooth)
    length = np.hypot(ny, nx)
    dy, dx = np.gradient(image)
    return (dy * ny + dx * nx) / np.maximum(length, 1e-6), length > 0.5


def _window(region: BoolMask) -> tuple[slice, slice]:
    """The region's bounding box with room for the parallel contours."""
    rows, cols = ndimage.find_objects(region.astype(np.uint8))[0]
    return (
        slice(max(rows.start - _WINDOW_MARGIN_PX, 0), rows.stop + _WINDOW_MARGIN_PX),
        slice(max(cols.start - _WINDOW_MARGIN_PX, 0), cols.stop + _WINDOW_MARGIN_PX),
    )
