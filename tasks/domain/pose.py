"""The pose of a region or defect: its angle to the bead, where it is long, and its size."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.region import RIM_PX, local_axis
from tasks.domain.shapes import LONG, measured_shapes

BoolMask = NDArray[np.bool_]


def region_pose(region: BoolMask, bead: BoolMask, side_px: int) -> tuple[float, float]:
    """Angle of its largest part to the bead's axis in (-90, 90], and its share of the image.

    Args:
        region, bead: (H, W).
        side_px: of an edit's window, about which the bead's axis is taken.

    Returns:
        nan as angle where the largest part is no longer than 2.5 times its width; nan as share of
        an empty region.
    """
    if not region.any():
        return float("nan"), float("nan")
    rows, cols = np.nonzero(region)
    axis = local_axis(bead, (float(rows.mean()), float(cols.mean())), side_px)
    largest = next(iter(measured_shapes(region, axis)), None)
    is_long = largest is not None and largest.length_px >= LONG * largest.width_px
    angle = largest.angle_deg if largest is not None and is_long else float("nan")
    return angle, float(region.mean())


def defect_pose(defect: BoolMask, bead: BoolMask, side_px: int) -> tuple[float, float]:
    """The pose of the region that an edit of this defect would have: the defect and its rim."""
    grown = np.asarray(ndimage.binary_dilation(defect, iterations=RIM_PX))
    return region_pose(defect, bead, side_px)[0], float(grown.mean())
