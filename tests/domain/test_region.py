"""Regions: inside the bead, seeded, of the wanted shape."""

import numpy as np
import pytest

from tasks.domain.errors import ImageRefused
from tasks.domain.records import RegionStrategy
from tasks.domain.region import draw_region

BEAD = np.zeros((200, 300), bool)
BEAD[80:120] = True


@pytest.mark.parametrize("strategy", RegionStrategy)
def test_regions_lie_in_the_bead_and_differ_by_seed(strategy):
    drawn = [draw_region(BEAD, strategy, np.random.default_rng(s), 64) for s in range(6)]
    for region in drawn:
        assert region.any()
        assert not (region & ~BEAD).any()
        assert max(np.ptp(np.nonzero(region)[0]), np.ptp(np.nonzero(region)[1])) + 1 <= max(
            64, 300 if strategy is RegionStrategy.BEAD else 64
        )
    again = draw_region(BEAD, strategy, np.random.default_rng(0), 64)
    assert np.array_equal(drawn[0], again)
    if strategy is not RegionStrategy.BEAD:
        assert len({region.tobytes() for region in drawn}) > 1


def test_defect_shapes_are_smaller_than_the_bead_piece():
    sizes = {
        strategy: np.mean(
            [draw_region(BEAD, strategy, np.random.default_rng(s), 64).sum() for s in range(10)]
        )
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
        assert draw_region(whole, strategy, np.random.default_rng(1), 64).any()
