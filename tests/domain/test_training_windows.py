"""Windows to learn from: of the model's size, on the defect, and never all defect."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.training_windows import (
    MAX_DEFECT_SHARE,
    PIECE,
    defect_windows,
    piece_of,
    sound_windows,
)

NATIVE = 32
SHAPE = (90, 300)
SURFACE = np.zeros(SHAPE, bool)
SURFACE[20:70] = True


def picture(shape=SHAPE) -> np.ndarray:
    """Every pixel tells where it lies."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return np.stack([rows % 256, cols % 256, cols // 256], axis=2).astype(np.uint8)


def marked(*boxes: tuple[int, int, int, int], shape=SHAPE) -> np.ndarray:
    """A mask of (top, left, height, width) boxes."""
    mask = np.zeros(shape, bool)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = True
    return mask


def cut(defect, count: int = 24, seed: int = 0, native_px: int = NATIVE):
    image, surface = picture(defect.shape), np.ones(defect.shape, bool)
    rng = np.random.default_rng(seed)
    return defect_windows(image, surface, defect, native_px, count, rng)


def test_a_window_shows_the_image_the_surface_and_the_defect_at_its_place():
    defect = marked((40, 100, 5, 9))
    image, rng = picture(), np.random.default_rng(0)
    windows = defect_windows(image, SURFACE, defect, NATIVE, 10, rng)
    assert len(windows) == 10
    for window in windows:
        x, y, w, h = window.box_xywh
        assert (w, h) == (NATIVE, NATIVE)
        assert np.array_equal(window.image, image[y : y + h, x : x + w])
        assert np.array_equal(window.surface, SURFACE[y : y + h, x : x + w])
        assert np.array_equal(window.defect, defect[y : y + h, x : x + w])
        assert window.defect.sum() == 45  # a small defect is seen whole
    assert len({window.box_xywh for window in windows}) > 5  # and not always in one place


@given(
    st.lists(
        st.tuples(st.integers(0, 80), st.integers(0, 280), st.integers(1, 60), st.integers(1, 200)),
        min_size=1, max_size=4,
    ),
    st.integers(0, 1000),
    st.sampled_from([16, 32, 64]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_windows_are_native_and_hold_some_of_the_defect_but_not_too_much(boxes, seed, native_px):
    for window in cut(marked(*boxes), 6, seed, native_px):
        assert window.image.shape == (native_px, native_px, 3)
        assert window.image.dtype == np.uint8
        assert window.defect.shape == window.surface.shape == (native_px, native_px)
        assert window.defect.any()
        assert window.defect.mean() <= MAX_DEFECT_SHARE
        x, y, w, h = window.box_xywh
        assert w == h >= min(native_px, *SHAPE)
        assert 0 <= x <= SHAPE[1] - w
        assert 0 <= y <= SHAPE[0] - h


def test_a_long_defect_is_learned_in_pieces_from_end_to_end():
    defect = marked((42, 10, 4, 280))
    seen = np.zeros(SHAPE[1], bool)
    for window in cut(defect, 60):
        x, _, side, _ = window.box_xywh
        assert side < 2.2 * NATIVE
        assert window.defect.any(axis=0).sum() > 0.3 * NATIVE
        seen[x : x + side] = True
    assert seen[10:290].all()


def test_of_a_defect_larger_than_a_window_the_rim_is_learned():
    windows = cut(marked((0, 0, 90, 150)))
    assert len(windows) == 24
    for window in windows:
        x, _, side, _ = window.box_xywh
        assert x < 150 < x + side
    assert cut(np.ones(SHAPE, bool)) == []  # it has none


def test_the_seed_decides_the_windows():
    defect = marked((40, 100, 5, 60), (10, 200, 20, 8))
    first, again, other = ([w.box_xywh for w in cut(defect, seed=s)] for s in (1, 1, 2))
    assert first == again
    assert first != other
    surface = [
        [w.box_xywh for w in sound_windows(picture(), SURFACE, NATIVE, 9, np.random.default_rng(s))]
        for s in (1, 1, 2)
    ]
    assert surface[0] == surface[1] != surface[2]


def test_nothing_gives_no_windows():
    nothing, rng = np.zeros(SHAPE, bool), np.random.default_rng(0)
    assert cut(nothing) == []
    assert sound_windows(picture(), nothing, NATIVE, 5, rng) == []


def test_sound_windows_lie_anywhere_on_the_surface_and_show_no_defect():
    image, rng = picture(), np.random.default_rng(0)
    windows = sound_windows(image, SURFACE, NATIVE, 200, rng)
    assert len(windows) == 200
    lefts = [window.box_xywh[0] for window in windows]
    assert min(lefts) == 0
    assert max(lefts) == SHAPE[1] - NATIVE
    for window in windows:
        x, y, w, h = window.box_xywh
        assert (w, h) == (NATIVE, NATIVE)
        assert window.surface[NATIVE // 2, :].any()
        assert not window.defect.any()
        assert np.array_equal(window.image, image[y : y + h, x : x + w])


@pytest.mark.parametrize("shape", [(20, 24), (20, 200), (32, 32)])
def test_an_image_smaller_than_a_window_is_seen_whole_and_enlarged(shape):
    side = min(NATIVE, *shape)
    defect = marked((8, 8, 4, 4), shape=shape)
    on_surface = sound_windows(
        picture(shape), np.ones(shape, bool), NATIVE, 8, np.random.default_rng(0)
    )
    for window in [*cut(defect, 8), *on_surface]:
        assert window.image.shape == (NATIVE, NATIVE, 3)
        assert window.surface.all()
        assert window.box_xywh[2:] == (side, side)
    assert len(on_surface) == len(cut(defect, 8)) == 8
    assert all(window.defect.any() for window in cut(defect, 8))


@given(st.integers(0, 10_000), st.integers(8, 64))
@settings(max_examples=50)
def test_a_piece_is_of_the_defect_and_no_larger_than_its_reach(seed, side_px):
    defect = marked((40, 5, 3, 290), (10, 100, 50, 4))
    piece = piece_of(defect, side_px, np.random.default_rng(seed))
    assert piece.any()
    assert not (piece & ~defect).any()
    for places in np.nonzero(piece):
        assert np.ptp(places) <= 2 * PIECE[1] * side_px
    top, left = np.min(np.nonzero(piece), axis=1)
    bottom, right = np.max(np.nonzero(piece), axis=1)
    assert piece[top : bottom + 1, left : right + 1].sum() == piece.sum()
