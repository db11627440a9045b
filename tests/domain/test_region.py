"""Regions: inside the bead, seeded, of the wanted shape."""

import numpy as np
import pytest

from tasks.domain.errors import BadParameters, ImageRefused
from tasks.domain.records import RegionStrategy
from tasks.domain.region import LEARNED_REACH, RIM_PX, draw_region
from tasks.domain.shapes import DefectShape, measured_shapes

BEAD = np.zeros((200, 300), bool)
BEAD[80:120] = True
CRACK = DefectShape(length_px=24, width_px=3, angle_deg=0, stray=0.02, parts=1)
PORE = DefectShape(length_px=8, width_px=7, angle_deg=0, stray=0.05, parts=1)


def drawn(strategy: RegionStrategy, seed: int, bead: np.ndarray = BEAD) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_region(bead, strategy, rng, 64, (CRACK, PORE))


def learned(shape: DefectShape, seed: int, bead: np.ndarray = BEAD) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_region(bead, RegionStrategy.LEARNED, rng, 64, (shape,))


@pytest.mark.parametrize("strategy", RegionStrategy)
def test_regions_lie_in_the_bead_and_differ_by_seed(strategy):
    regions = [drawn(strategy, seed) for seed in range(6)]
    for region in regions:
        assert region.any()
        assert not (region & ~BEAD).any()
        assert max(np.ptp(np.nonzero(region)[0]), np.ptp(np.nonzero(region)[1])) + 1 <= max(
            64, 300 if strategy is RegionStrategy.BEAD else 64
        )
    assert np.array_equal(regions[0], drawn(strategy, 0))
    if strategy is not RegionStrategy.BEAD:
        assert len({region.tobytes() for region in regions}) > 1


def test_defect_shapes_are_smaller_than_the_bead_piece():
    sizes = {
        strategy: np.mean([drawn(strategy, seed).sum() for seed in range(10)])
        for strategy in RegionStrategy
    }
    for small in (RegionStrategy.CRACK, RegionStrategy.PORES, RegionStrategy.TOE):
        assert sizes[small] < sizes[RegionStrategy.BAND] <= sizes[RegionStrategy.BEAD]


def test_a_bead_without_room_is_refused():
    speck = np.zeros((100, 100), bool)
    speck[50, 50] = True
    with pytest.raises(ImageRefused, match="xpected"):
        draw_region(speck, RegionStrategy.CRACK, np.random.default_rng(0), 64)


def test_a_toe_lies_along_the_bead_not_where_the_image_cuts_it():
    for seed in range(40):
        region = draw_region(BEAD, RegionStrategy.TOE, np.random.default_rng(seed), 64)
        rows = np.nonzero(region)[0]
        assert min(abs(rows.mean() - 80), abs(rows.mean() - 120)) < 12


def test_a_bead_that_fills_the_image_has_room():
    whole = np.ones((96, 96), bool)
    for strategy in RegionStrategy:
        assert drawn(strategy, 1, whole).any()


def test_a_learned_region_is_a_real_defects_shape_and_a_rim_within_the_bead():
    for like in (CRACK, PORE):
        regions = [learned(like, seed) for seed in range(60)]
        assert not any((region & ~BEAD).any() for region in regions)
        found = [measured_shapes(region, (0.0, 1.0))[0] for region in regions]
        length, width = (
            np.median([getattr(s, n) for s in found]) for n in ("length_px", "width_px")
        )
        assert length == pytest.approx(like.length_px + 2 * RIM_PX, rel=0.25)
        assert width == pytest.approx(like.width_px + 2 * RIM_PX, rel=0.25)


def test_a_learned_region_lies_to_the_bead_as_the_real_defect_did():
    upright = np.zeros((300, 200), bool)
    upright[:, 60:140] = True
    across = CRACK.model_copy(update={"angle_deg": 90.0})
    for like, bead, heading_deg in (
        (CRACK, BEAD, 0), (CRACK, upright, 90), (across, BEAD, 90), (across, upright, 0),
    ):  # fmt: skip
        for seed in range(20):
            (shape,) = measured_shapes(learned(like, seed, bead), (0.0, 1.0))
            off = abs((shape.angle_deg - heading_deg + 90) % 180 - 90)
            assert off < 35


def test_a_learned_region_is_no_longer_than_a_window_and_a_half_however_long_the_defect():
    endless = CRACK.model_copy(update={"length_px": 5000.0})
    extents = [
        max(np.ptp(places) for places in np.nonzero(learned(endless, seed))) for seed in range(20)
    ]
    assert max(extents) < 1.15 * LEARNED_REACH * 64 + 2 * RIM_PX
    assert np.median(extents) > 64


@pytest.mark.parametrize("bead", [BEAD, np.zeros((40, 40), bool)])
def test_learned_without_shapes_is_a_wrong_parameter(bead):
    with pytest.raises(BadParameters, match="shapes of real defects"):
        draw_region(bead, RegionStrategy.LEARNED, np.random.default_rng(0), 64)
