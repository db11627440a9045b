"""Views: a bead lies straight and keeps its scale, wherever and however it lay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import BadInput
from tasks.domain.view import WHOLE, Frame, cut_view, frame_of, typical_frame


def bar(angle_deg: float, centre=(150.0, 130.0), length=180.0, width=40.0, shape=(260, 300)):
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    angle = np.radians(angle_deg)
    x, y = columns - centre[0], rows - centre[1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)


@given(angle=st.floats(-85, 85), dx=st.floats(-30, 30), dy=st.floats(-20, 20))
def test_the_frame_of_a_turned_bar_is_the_bar(angle, dx, dy):
    frame = frame_of(bar(angle, (150 + dx, 130 + dy), length=150))
    assert frame.angle_deg == pytest.approx(angle, abs=1.0)
    assert frame.x * 300 == pytest.approx(150.5 + dx, abs=1.5)
    assert frame.y * 260 == pytest.approx(130.5 + dy, abs=1.5)
    assert frame.length * 300 == pytest.approx(150, abs=4)
    assert frame.width * 300 == pytest.approx(40, abs=4)


@pytest.mark.parametrize("angle", [-70, -20, 0, 35, 89])
def test_in_the_view_the_bar_lies_straight_and_is_all_there(angle):
    mask = bar(angle)
    cut = cut_view(mask.astype(np.uint8) * 255, frame_of(mask), (64, 256)) > 127
    rows, columns = np.nonzero(cut)
    middle = np.flatnonzero(cut[:, 128])
    assert np.ptp(middle) + 1 == pytest.approx(64 / 1.6, abs=3)
    assert cut[32].sum() == pytest.approx(180 * (64 / 1.6) / 40, abs=6)
    assert abs(rows.mean() - 31.5) < 1.5
    assert abs(columns.mean() - 127.5) < 2


def test_the_whole_part_is_shown_whole_at_one_scale():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 98:102] = 255
    view = cut_view(image, WHOLE, (128, 128))
    assert view.shape == (128, 128, 3)
    assert view[64, 63:65].min() > 200
    assert view[0, 64].max() > 100, "edges are repeated beyond a part that is less high"


def test_a_frame_at_scale_one_returns_the_pixels_themselves():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 256, 3), dtype=np.uint8)
    assert np.array_equal(cut_view(image, WHOLE, (64, 256)), image)


def test_the_typical_frame_is_the_median_and_an_empty_mask_has_none():
    frames = [Frame(x=v, y=v, length=v, width=v, angle_deg=v) for v in (0.1, 0.2, 0.9)]
    found = typical_frame(frames)
    assert (found.x, found.y, found.length, found.width) == (0.2, 0.2, 0.2, 0.2)
    upright = [Frame(x=0, y=0, length=1, width=1, angle_deg=v) for v in (89.0, -89.0)]
    assert abs(typical_frame(upright).angle_deg) == pytest.approx(90)
    assert typical_frame([]) == WHOLE
    with pytest.raises(BadInput, match="empty"):
        frame_of(np.zeros((10, 10), bool))
