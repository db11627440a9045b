"""Continuity of a defect: a crack or a pore is one piece, noise is speckle.

A pixel is anomalous when |I - G_6 * I| > k max(sigma_around, sigma_grain), sigma_around robust on
the ring around the zone; continuity = 1 - S / max(A, .01 Z) with A the anomalous pixels, S those
of them outside connected pieces of at least 12 px (at 256 px; the size grows with the image's
area; bright and dark apart) and Z the zone's pixels, so that a few stray ones do not count.
"""

import numpy as np
from scipy import ndimage

from tasks.domain.luminance import BoolMask, GreyImage, require_pixels, require_same_grid
from tasks.domain.noise import grain_sigma

_K = 2.5
_PIECE_PX = 12
_NOMINAL_SIDE_PX = 256
_SMOOTH_PX = 6.0
_RING_PX = 12
_STRAY_SHARE = 0.01


def defect_continuity(grey: GreyImage, zone: BoolMask) -> float:
    """Share of the zone's anomalous pixels that belong to a piece, not to speckle.

    Args:
        grey: (H, W), 0-255.
        zone: (H, W), True on the edited zone.

    Returns:
        [0, 1], higher is more continuous; 1 when nothing is anomalous.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the zone is empty.
    """
    require_same_grid(grey, zone)
    require_pixels(zone, "zone")
    image = np.asarray(grey, dtype=np.float32)
    residual = image - ndimage.gaussian_filter(image, _SMOOTH_PX)
    outside = ndimage.distance_transform_edt(~zone) if not zone.all() else np.zeros(zone.shape)
    ring = (outside > 0) & (outside <= _RING_PX)
    around = residual[ring] if ring.any() else residual[zone]
    spread = 1.4826 * float(np.median(np.abs(around - np.median(around))))
    limit = _K * max(spread, grain_sigma(image, zone), 0.5)
    scale = min(grey.shape) / _NOMINAL_SIDE_PX
    smallest = max(2, round(_PIECE_PX * scale**2))
    pieces = [_in_pieces(zone & (sign * residual > limit), smallest) for sign in (1.0, -1.0)]
    total = sum(count for count, _ in pieces)
    speckle = total - sum(kept for _, kept in pieces)
    return 1.0 - speckle / max(total, _STRAY_SHARE * float(zone.sum()))


def _in_pieces(anomalous: BoolMask, smallest: int) -> tuple[int, int]:
    """How many pixels are anomalous, and how many of them lie in large enough pieces."""
    labels, _ = ndimage.label(anomalous, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    return int(sizes.sum()), int(sizes[sizes >= smallest].sum())
