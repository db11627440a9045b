"""The planted part is found where it lies, in bounds; a sound image has none, and says why."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tasks.domain.difference import SoundWindows, weak_region, window_grid
from tasks.domain.errors import BadInput, BadParameters, ShapeError

HW, SIDE, DIM = (96, 128), 32, 16
BOXES = window_grid(HW, SIDE)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sound_rows(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return unit(np.eye(DIM)[0] * 3 + rng.normal(0, 0.3, (count, DIM)))


SOUND = SoundWindows.fit(sound_rows(200, 0), np.repeat([f"s{i}" for i in range(20)], 10))


def planted(defect: np.ndarray, seed: int, strength: float = 3.0) -> np.ndarray:
    """Rows of the grid's windows, turned to another axis by the share of the defect they hold."""
    rows = sound_rows(len(BOXES), seed).astype(np.float64)
    share = [defect[y : y + h, x : x + w].sum() / defect.sum() for x, y, w, h in BOXES]
    return unit(rows + strength * np.array(share)[:, None] * np.eye(DIM)[5])


def spot(row: int, col: int, size: int = 6) -> np.ndarray:
    mask = np.zeros(HW, bool)
    mask[row : row + size, col : col + size] = True
    return mask


@given(st.integers(0, HW[0] - 6), st.integers(0, HW[1] - 6), st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_a_planted_defect_is_found_where_it_is(row, col, seed):
    defect = spot(row, col)
    found = weak_region(planted(defect, seed), BOXES, HW, SOUND)
    assert found.reason is None
    assert found.farthest > found.limit
    assert (found.mask & defect).any()
    _require_one_window(found.mask)


def _require_one_window(mask: np.ndarray) -> None:
    assert mask.shape == HW
    assert ndimage.label(mask)[1] == 1
    assert all(np.ptp(at) < SIDE for at in np.nonzero(mask))


@given(st.integers(0, 500), st.floats(0.5, 9))
@settings(max_examples=40, deadline=None)
def test_whatever_differs_the_region_is_one_piece_of_one_window_at_most(seed, spread):
    rng = np.random.default_rng(seed)
    rows = unit(sound_rows(len(BOXES), seed) + spread * rng.normal(size=(len(BOXES), DIM)))
    found = weak_region(rows, BOXES, HW, SOUND)
    assert (found.mask is None) == (found.farthest <= found.limit)
    if found.mask is not None:
        _require_one_window(found.mask)


def test_an_image_unlike_in_every_part_gives_a_whole_window_and_no_more():
    rows = np.repeat(unit(np.eye(DIM)[5:6]), len(BOXES), axis=0)
    found = weak_region(rows, BOXES, HW, SOUND)
    assert found.mask.sum() == SIDE**2


def test_a_sound_image_has_none_and_a_reason():
    calm = np.repeat(unit(np.eye(DIM)[:1]), len(BOXES), axis=0)
    found = weak_region(calm, BOXES, HW, SOUND)
    assert found.mask is None
    assert found.reason.startswith("no window differs: farthest 0.0")
    empty = weak_region(calm[:0], [], HW, SOUND)
    assert empty.mask is None
    assert "no window lies" in empty.reason


def test_sound_windows_of_other_sources_are_beyond_the_limit_as_often_as_the_quantile_says():
    for quantile in (0.8, 0.99):
        sound = SoundWindows.fit(sound_rows(600, 1), np.arange(600).astype(str), quantile)
        beyond = sound.reference.distance(sound_rows(4000, 2)) > sound.limit
        assert beyond.mean() == pytest.approx(1 - quantile, abs=0.025)


def test_a_source_is_not_sound_by_its_own_windows():
    names = np.repeat([f"s{i}" for i in range(50)], 4)
    twins = np.repeat(sound_rows(50, 3), 4, axis=0)
    assert SoundWindows.fit(twins, names).limit > 0.05
    assert SoundWindows.fit(twins, np.arange(200).astype(str)).limit < 1e-6


@given(st.integers(1, 40), st.integers(0, 60), st.integers(0, 60))
def test_the_grid_covers_every_pixel_by_half_overlapping_windows_inside_the_image(side, more, wide):
    shape = (side + more, side + wide)
    boxes = window_grid(shape, side)
    seen = np.zeros(shape, int)
    for x, y, w, h in boxes:
        assert (w, h) == (side, side)
        assert x >= 0
        assert y >= 0
        assert seen[y : y + h, x : x + w].shape == (side, side)
        seen[y : y + h, x : x + w] += 1
    assert seen.min() >= 1
    assert len(set(boxes)) == len(boxes)
    columns = sorted({x for x, *_ in boxes})
    assert columns[-1] == shape[1] - side
    assert max(np.diff(columns), default=0) <= max(1, side // 2)


def test_only_windows_with_half_of_their_pixels_inside_are_kept():
    inside = np.zeros((64, 64), bool)
    inside[:, :40] = True
    kept = window_grid((64, 64), 32, inside)
    assert {x for x, *_ in kept} == {0, 16}  # at 16: 24 of 32 columns; at 32: 8
    inside[:, 32:] = False
    assert {x for x, *_ in window_grid((64, 64), 32, inside)} == {0, 16}  # exactly half counts
    assert window_grid((64, 64), 32, np.zeros((64, 64), bool)) == ()


def test_bad_input_is_named():
    with pytest.raises(BadParameters, match="1 to 64 px"):
        window_grid((64, 90), 65)
    with pytest.raises(ShapeError, match="mask"):
        window_grid((64, 64), 32, np.ones((64, 65), bool))
    with pytest.raises(BadParameters, match="quantile"):
        SoundWindows.fit(sound_rows(8, 0), np.arange(8).astype(str), 0.0)
    with pytest.raises(ShapeError, match="a box a window"):
        weak_region(sound_rows(3, 0), BOXES, HW, SOUND)
    broken = np.full((len(BOXES), DIM), np.nan, np.float32)
    with pytest.raises(BadInput, match="finite"):
        weak_region(broken, BOXES, HW, SOUND)
