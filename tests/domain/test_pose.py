"""Poses of drawn bars: their angle to the bead, their share; no angle where nothing is long."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.domain.pose import defect_pose, region_pose
from tasks.domain.region import RIM_PX


def bar(angle_deg: float, length: float = 30, width: float = 4) -> np.ndarray:
    rows, cols = np.mgrid[:96, :96] - 48.0
    turn = np.radians(angle_deg)
    along = cols * np.cos(turn) + rows * np.sin(turn)
    across = rows * np.cos(turn) - cols * np.sin(turn)
    return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)


def bead(angle_deg: float) -> np.ndarray:
    return bar(angle_deg, 90, 40)


@pytest.mark.parametrize("angle", [-60, 0, 30, 90])
@pytest.mark.parametrize("turn", [0, 25])
def test_the_angle_is_to_the_bead(angle, turn):
    found, share = region_pose(bar(angle + turn), bead(turn), 64)
    apart = (found - angle + 90) % 180 - 90
    assert abs(apart) < 3
    assert share == pytest.approx(bar(angle + turn).mean())


def test_a_blob_has_no_angle_and_nothing_has_nothing():
    assert np.isnan(region_pose(bar(0, 10, 10), bead(0), 64)[0])
    assert np.isnan(region_pose(np.zeros((96, 96), bool), bead(0), 64)).all()


def test_a_defect_is_as_large_as_its_edit_would_be():
    defect = bar(20)
    angle, share = defect_pose(defect, bead(0), 64)
    assert angle == pytest.approx(20, abs=3)
    assert share == ndimage.binary_dilation(defect, iterations=RIM_PX).mean()
