"""Seam: does the picture break along the border of the edited region?

With s the signed distance to the border of M (negative inside) and n = grad s its outward normal,
g = grad I . n, averaged along each contour over a few pixels so that texture cancels and a step
stays:  J(s) = mean over {s} of |G_t * g|.  seam = log((J(0) + e) / (mean J(parallel) + e)), cut
at 0, with e from the sensor grain. The jump across a boundary against the texture beside it is
the test of region merging (Nock & Nielsen, IEEE TPAMI 2004).
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.domain.luminance import BoolMask, GreyImage, require_same_grid
from tasks.domain.noise import grain_sigma

Field2D = npt.NDArray[np.float64]

_ALONG_PX = 3.0
_PARALLEL_PX = (-4.0, -3.0, 3.0, 4.0)
_HALF_WIDTH_PX = 0.8
_BEAD_MARGIN_PX = 2.0
_WINDOW_MARGIN_PX = 14
_MIN_PIXELS = 8
_FLAT_EPS = 0.3


def seam_ratio(grey: GreyImage, region: BoolMask, bead: BoolMask | None = None) -> float:
    """How much stronger the step across the region's border is than at parallel contours.

    Args:
        grey: (H, W), 0-255.
        region: (H, W), True on the edited region M.
        bead: (H, W) or None; border pixels within 2 px of the bead's own border are ignored, since
            a real edge lies there.

    Returns:
        Natural log of the ratio, >= 0; 0 is no seam, and also an empty region or one whose border
        lies wholly on the bead's or the image's.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same_grid(grey, region)
    if bead is not None:
        require_same_grid(grey, bead)
    if not region.any() or region.all():
        return 0.0
    rows, cols = _window(region)
    distance = signed_distance(region)[rows, cols]
    image = np.asarray(grey[rows, cols], dtype=np.float64)
    usable = np.ones(image.shape, dtype=np.bool_)
    if bead is not None and bead.any() and not bead.all():
        usable = np.abs(signed_distance(bead)[rows, cols]) > _BEAD_MARGIN_PX
    slope, steep = _normal_slope(image, distance)
    usable &= steep
    border = _contour_jump(slope, usable & (np.abs(distance) < _HALF_WIDTH_PX))
    beside = [
        _contour_jump(slope, usable & (np.abs(distance - offset) < _HALF_WIDTH_PX))
        for offset in _PARALLEL_PX
    ]
    present = [jump for jump in beside if jump is not None]
    if border is None or not present:
        return 0.0
    around = ndimage.binary_dilation(region, iterations=4)
    eps = _FLAT_EPS + 0.1 * grain_sigma(grey, around)
    return max(0.0, float(np.log((border + eps) / (np.mean(present) + eps))))


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


def _contour_jump(slope: Field2D, contour: BoolMask) -> float | None:
    """Mean |slope averaged along the contour|; None when the contour has too few pixels."""
    if contour.sum() < _MIN_PIXELS:
        return None
    weight = ndimage.gaussian_filter(contour.astype(np.float64), _ALONG_PX)
    total = ndimage.gaussian_filter(np.where(contour, slope, 0.0), _ALONG_PX)
    return float(np.abs(total[contour] / weight[contour]).mean())


def _window(region: BoolMask) -> tuple[slice, slice]:
    """The region's bounding box with room for the parallel contours."""
    rows, cols = ndimage.find_objects(region.astype(np.uint8))[0]
    return (
        slice(max(rows.start - _WINDOW_MARGIN_PX, 0), rows.stop + _WINDOW_MARGIN_PX),
        slice(max(cols.start - _WINDOW_MARGIN_PX, 0), cols.stop + _WINDOW_MARGIN_PX),
    )
