"""Shapes of defects: measured as closed forms say, and drawn anew as they were measured."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.shapes import (
    ANGLE_JITTER_DEG,
    MIN_COMPONENT_PX,
    DefectShape,
    drawn_like,
    measured_shapes,
)

ALONG_COLUMNS, ALONG_ROWS = (0.0, 1.0), (1.0, 0.0)
SIZE = (170, 170)
MIDDLE = (85.0, 85.0)
SHAPES = {
    "crack": DefectShape(length_px=60, width_px=4, angle_deg=0, stray=0.0, parts=1),
    "wandering crack": DefectShape(length_px=80, width_px=5, angle_deg=70, stray=0.05, parts=1),
    "scratch": DefectShape(length_px=60, width_px=2, angle_deg=-35, stray=0.01, parts=1),
    "short line": DefectShape(length_px=20, width_px=7, angle_deg=30, stray=0.03, parts=1),
    "patch": DefectShape(length_px=40, width_px=20, angle_deg=30, stray=0.05, parts=1),
    "pore": DefectShape(length_px=10, width_px=8, angle_deg=10, stray=0.05, parts=1),
}


def bar(length: int, width: int, size=SIZE) -> np.ndarray:
    """A bar along the columns."""
    mask = np.zeros(size, bool)
    mask[20 : 20 + width, 10 : 10 + length] = True
    return mask


def turn_between(a: float, b: float) -> float:
    """The smaller angle between two undirected axes, in degrees."""
    return abs((a - b + 90) % 180 - 90)


def drawn(name: str, seed: int, max_length_px: float = 500.0, axis=ALONG_COLUMNS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return drawn_like([SHAPES[name]], SIZE, MIDDLE, axis, max_length_px, rng)


@cache
def redrawn(name: str, axis=ALONG_COLUMNS) -> list[DefectShape]:
    """The largest component of 200 drawn regions."""
    return [measured_shapes(drawn(name, seed, axis=axis), ALONG_COLUMNS)[0] for seed in range(200)]


@given(st.integers(20, 150), st.integers(1, 6))
@settings(max_examples=30)
def test_a_bar_is_as_long_and_wide_as_it_is_and_lies_as_it_lies(length, width):
    (shape,) = measured_shapes(bar(length, width), ALONG_COLUMNS)
    assert (shape.length_px, shape.width_px) == pytest.approx((length, width))
    assert shape.angle_deg == pytest.approx(0, abs=1e-6)
    assert shape.stray == pytest.approx(0, abs=1e-6)
    (across,) = measured_shapes(bar(length, width), ALONG_ROWS)
    assert turn_between(across.angle_deg, 90) == pytest.approx(0, abs=1e-6)
    (turned,) = measured_shapes(bar(length, width).T, ALONG_ROWS)
    assert turned == shape.model_copy(update={"angle_deg": turned.angle_deg})
    assert turn_between(turned.angle_deg, 0) == pytest.approx(0, abs=1e-6)


@given(st.floats(0, 180), st.floats(0, 180))
@settings(max_examples=30, deadline=None)
def test_the_angle_is_that_to_the_bead(heading_deg, bead_deg):
    rows, cols = np.mgrid[:200, :200] - 100.0
    turn, bead = np.radians(heading_deg), np.radians(bead_deg)
    along = rows * np.sin(turn) + cols * np.cos(turn)
    across = rows * np.cos(turn) - cols * np.sin(turn)
    (shape,) = measured_shapes(
        (abs(along) <= 40) & (abs(across) <= 3), (float(np.sin(bead)), float(np.cos(bead)))
    )
    assert -90 < shape.angle_deg <= 90
    assert turn_between(shape.angle_deg, heading_deg - bead_deg) < 2
    assert shape.length_px == pytest.approx(81, rel=0.05)
    assert shape.width_px == pytest.approx(6, rel=0.2)


def test_a_bent_line_strays_from_its_axis():
    cols = np.arange(100)
    rows = np.rint(50 + 10 * np.sqrt(2) * np.sin(cols * 4 * np.pi / 100)).astype(int)
    mask = np.zeros((100, 120), bool)
    for step in range(-2, 3):
        mask[rows + step, cols + 10] = True
    (shape,) = measured_shapes(mask, ALONG_COLUMNS)
    assert shape.stray * shape.length_px == pytest.approx(10, rel=0.1)  # RMS of a sine


def test_parts_are_counted_without_specks_and_the_largest_stands_first():
    mask = bar(60, 4)
    mask[100:110, 100:110] = True
    mask[150, 20 : 20 + MIN_COMPONENT_PX - 1] = True
    long, square = measured_shapes(mask, ALONG_COLUMNS)
    assert (long.length_px, square.length_px) == pytest.approx((60, 10), abs=1)
    assert long.parts == square.parts == 2
    mask[150, 20 : 20 + MIN_COMPONENT_PX] = True
    assert [shape.parts for shape in measured_shapes(mask, ALONG_COLUMNS)] == [3, 3, 3]


def test_corners_join_and_nothing_has_no_shape():
    diagonal = np.eye(30, dtype=bool)
    (shape,) = measured_shapes(diagonal, ALONG_COLUMNS)
    assert shape.parts == 1
    assert shape.length_px == pytest.approx(29 * np.sqrt(2) + 1)
    assert turn_between(shape.angle_deg, 45) < 1e-3
    assert measured_shapes(np.zeros((30, 30), bool), ALONG_COLUMNS) == ()


@pytest.mark.parametrize("name", SHAPES)
def test_drawn_regions_are_as_large_as_the_one_they_are_like(name):
    like, found = SHAPES[name], redrawn(name)
    assert np.median([one.length_px for one in found]) == pytest.approx(like.length_px, rel=0.25)
    assert np.median([one.width_px for one in found]) == pytest.approx(like.width_px, rel=0.25)
    assert np.std(np.log([one.length_px for one in found])) > 0.05  # and yet not all alike


@pytest.mark.parametrize("name", ["crack", "wandering crack", "scratch", "short line"])
@pytest.mark.parametrize("axis", [ALONG_COLUMNS, ALONG_ROWS])
def test_drawn_lines_lie_to_the_bead_as_theirs_did_within_the_jitter(name, axis):
    of_bead = 0 if axis == ALONG_COLUMNS else 90
    wanted = SHAPES[name].angle_deg + of_bead
    off = np.array([turn_between(one.angle_deg, wanted) for one in redrawn(name, axis=axis)])
    assert np.mean(off <= 2 * ANGLE_JITTER_DEG) > 0.9
    assert off.max() < 4 * ANGLE_JITTER_DEG
    assert off.mean() > 0.4 * ANGLE_JITTER_DEG


def test_drawn_lines_stray_as_theirs_did():
    straight, bent = (
        np.median([one.stray for one in redrawn(name)]) for name in ("crack", "wandering crack")
    )
    assert straight < 0.01
    assert bent == pytest.approx(SHAPES["wandering crack"].stray, rel=0.25)


@pytest.mark.parametrize("name", ["crack", "wandering crack", "scratch"])
def test_a_line_is_one_piece_and_no_longer_than_allowed(name):
    for seed in range(100):
        (shape,) = measured_shapes(drawn(name, seed, max_length_px=30.0), ALONG_COLUMNS)
        assert shape.length_px < 1.15 * 30
        assert len(measured_shapes(drawn(name, seed), ALONG_COLUMNS)) == 1


def test_defects_of_several_parts_are_drawn_in_several_and_close_together():
    cluster = [SHAPES["pore"].model_copy(update={"parts": 5})]
    counts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        region = drawn_like(cluster, SIZE, MIDDLE, ALONG_COLUMNS, 100.0, rng)
        counts.append(len(measured_shapes(region, ALONG_COLUMNS)))
        rows, cols = np.nonzero(region)
        assert np.abs(rows - MIDDLE[0]).max() < 35 + 10
        assert np.abs(cols - MIDDLE[1]).max() < 35 + 10
    assert max(counts) == 4
    assert np.mean(counts) > 2.5


def test_every_shape_given_is_drawn_from_and_the_seed_decides():
    both = [SHAPES["scratch"], SHAPES["patch"]]
    widths = []
    for seed in range(40):
        first, again = (
            drawn_like(both, SIZE, MIDDLE, ALONG_COLUMNS, 500.0, np.random.default_rng(seed))
            for _ in range(2)
        )
        assert np.array_equal(first, again)
        widths.append(measured_shapes(first, ALONG_COLUMNS)[0].width_px)
    assert 10 <= sum(width > 8 for width in widths) <= 30


@pytest.mark.parametrize("name", SHAPES)
def test_what_lies_at_the_edge_is_cut_there(name):
    like = SHAPES[name].model_copy(update={"parts": 4})
    for seed, anchor in enumerate([(0.0, 0.0), (169.0, 0.0), (85.0, 169.0), (-500.0, 85.0)]):
        region, wider = (
            drawn_like(
                [like], (SIZE[0] + 2 * more, SIZE[1] + 2 * more),
                (anchor[0] + more, anchor[1] + more), ALONG_COLUMNS, 100.0,
                np.random.default_rng(seed),
            )
            for more in (0, 300)
        )  # fmt: skip
        assert np.array_equal(region, wider[300:-300, 300:-300])
        assert wider.any() == (anchor[0] >= 0)
