"""A planted seam is seen, an ordinary border is not, whatever the region's shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tasks.domain.calibration import Quantiles
from tasks.domain.errors import ShapeError
from tasks.domain.seam import seam_ratio, signed_distance


def _bead(seed: int) -> np.ndarray:
    """A rippled, shaded and grainy surface, (96, 160) float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :160]
    wobble = ndimage.gaussian_filter(rng.normal(size=y.shape), 8) * 40
    ripples = 9 * np.sin(2 * np.pi * (x + wobble + 0.002 * (y - 48) ** 2) / 11)
    surface = 120 + 25 * np.cos((y - 48) / 40) + ripples
    texture = ndimage.gaussian_filter(rng.normal(size=y.shape), 1.5) * 18
    return (surface + texture + rng.normal(0, 2, y.shape)).astype(np.float32)


def _region(shape: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :160]
    cy, cx = rng.uniform(40, 56), rng.uniform(60, 100)
    if shape == "blob":
        return np.asarray(np.hypot(y - cy, 0.8 * (x - cx)) < rng.uniform(8, 18))
    if shape == "band":
        return np.asarray(np.abs(x - cx) < rng.uniform(10, 25))
    slope = rng.uniform(-0.4, 0.4)
    tube = np.abs(y - cy - slope * (x - cx)) < rng.uniform(4, 7)
    return np.asarray(tube & (np.abs(x - cx) < 30))


SHAPES = ("tube", "blob", "band")


def _natural() -> Quantiles:
    values = [seam_ratio(_bead(i), _region(SHAPES[i % 3], i)) for i in range(90)]
    return Quantiles.of(np.array(values))


NATURAL = _natural()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", [18.0, -18.0])
def test_a_brightness_step_is_refused_and_the_same_place_untouched_passes(
    shape: str, offset: float
) -> None:
    for seed in range(200, 206):
        grey, region = _bead(seed), _region(shape, seed)
        assert NATURAL.typicality(seam_ratio(grey, region)) >= 0.35
        stepped = np.where(region, grey + np.float32(offset), grey)
        assert NATURAL.typicality(seam_ratio(stepped, region)) < 0.35


@pytest.mark.parametrize("shape", SHAPES)
def test_a_foreign_texture_pasted_hard_is_refused(shape: str) -> None:
    y, x = np.mgrid[:96, :160]
    checker = np.where((y // 4 + x // 4) % 2 == 0, 60.0, 180.0).astype(np.float32)
    for seed in range(300, 306):
        grey, region = _bead(seed), _region(shape, seed)
        pasted = np.where(region, np.roll(checker, seed, axis=1), grey)
        flat = np.where(region, np.float32(60), grey)
        assert NATURAL.typicality(seam_ratio(flat, region)) < 0.35
        assert seam_ratio(pasted, region) > NATURAL.q50


def test_the_real_edge_at_the_bead_s_border_is_not_a_seam() -> None:
    grey = _bead(1)
    bead = np.zeros(grey.shape, bool)
    bead[20:76] = True
    grey = np.where(bead, grey, grey - 70).astype(np.float32)
    region = bead & _region("band", 1)
    assert NATURAL.typicality(seam_ratio(grey, region, bead)) >= 0.35
    assert seam_ratio(grey, region) > seam_ratio(grey, region, bead)


def test_no_border_means_no_seam() -> None:
    grey, full = _bead(2), np.ones((96, 160), bool)
    assert seam_ratio(grey, full) == 1.0
    assert seam_ratio(grey, ~full) == 1.0
    bead = np.zeros((96, 160), bool)
    bead[20:76] = True
    assert seam_ratio(grey, bead, bead) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 120))
def test_it_is_at_least_one_and_a_constant_changes_nothing(seed: int, shift: float) -> None:
    grey, region = _bead(seed) / 2, _region(SHAPES[seed % 3], seed)
    value = seam_ratio(grey, region)
    assert value >= 1
    assert seam_ratio(grey + np.float32(shift), region) == pytest.approx(value, rel=0.01)


def test_a_thin_line_has_no_contour_inside_and_is_still_measured() -> None:
    grey = _bead(3)
    line = np.zeros(grey.shape, bool)
    line[47:49, 40:120] = True
    assert seam_ratio(np.where(line, np.float32(250), grey), line) > NATURAL.q99


def test_signed_distance_of_a_half_plane_is_exact() -> None:
    half = np.zeros((5, 20), bool)
    half[:, :8] = True
    assert np.allclose(signed_distance(half)[2], np.arange(20) - 7.5)


def test_other_grids_are_refused() -> None:
    with pytest.raises(ShapeError):
        seam_ratio(np.zeros((4, 4), np.float32), np.ones((4, 5), bool))
