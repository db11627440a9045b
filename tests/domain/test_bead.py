"""The rectangle is exact, S_mask is the article's sum, and the plate never passes for the bead."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tasks.domain.bead import (
    best_bead,
    best_mask,
    clean_mask,
    is_background,
    mask_score,
    min_area_rectangle_sides,
    no_bead_reason,
)
from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.parameters import SegmentParams

PARAMS = SegmentParams()
MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def tilted_bar(size: int, length: float, width: float, angle: float) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size] - (size - 1) / 2
    along = cols * np.cos(angle) + rows * np.sin(angle)
    across = -cols * np.sin(angle) + rows * np.cos(angle)
    return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)


def drawing(bead: np.ndarray, seed: int, plate: float = 90, weld: float = 150) -> np.ndarray:
    """A rippled, noisy bead on a smooth plate."""
    rng = np.random.default_rng(seed)
    ripples = 12 * np.sin(np.arange(bead.shape[1]) / 3)[None, :]
    grey = np.where(bead, weld + ripples, plate) + rng.normal(0, 4, bead.shape)
    return grey.clip(0, 255).astype(np.float32)


@given(st.integers(1, 9), st.integers(1, 9))
def test_an_upright_block_has_its_own_sides(height: int, width: int) -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[1 : 1 + height, 2 : 2 + width] = True
    expected = (max(height, width), min(height, width))
    assert min_area_rectangle_sides(mask) == pytest.approx(expected)


@pytest.mark.parametrize("angle", [0.2, 0.6, np.pi / 4, 1.3])
def test_a_tilted_bar_keeps_its_sides(angle: float) -> None:
    long_px, short_px = min_area_rectangle_sides(tilted_bar(200, 150, 20, angle))
    assert (long_px, short_px) == pytest.approx((151, 21), abs=2)


@given(MASKS)
def test_the_rectangle_is_the_smallest_over_all_angles(mask: np.ndarray) -> None:
    long_px, short_px = min_area_rectangle_sides(mask)
    if not mask.any():
        assert (long_px, short_px) == (0, 0)
        return
    rows, cols = np.nonzero(mask)
    corners = np.concatenate([np.stack([rows + a, cols + b], 1) for a in (0, 1) for b in (0, 1)])
    angles = np.linspace(0, np.pi / 2, 181)
    spans = [
        np.ptp(corners @ (np.cos(t), np.sin(t))) * np.ptp(corners @ (-np.sin(t), np.cos(t)))
        for t in angles
    ]
    assert long_px >= short_px >= 1 - 1e-9
    assert long_px * short_px <= min(spans) + 1e-6
    assert min_area_rectangle_sides(mask.T) == pytest.approx((long_px, short_px))


def test_s_mask_in_closed_form() -> None:
    mask = np.zeros((101, 101), dtype=bool)
    mask[45:56, 23:78] = True  # 55 x 11, centred: e = (5 - 1)/5
    grey = np.full(mask.shape, 100, dtype=np.float32)
    grey[mask] = np.where(np.arange(mask.sum()) % 2, 190, 210)[: mask.sum()]
    score = mask_score(grey, mask, PARAMS)
    spread, mean = grey[mask].std(), grey[mask].mean()
    contrast = (mean - 100) / (mean - 100 + spread)
    assert score.elongation == pytest.approx(0.8)
    assert score.contrast == pytest.approx(contrast, rel=1e-5)
    assert score.homogeneity == pytest.approx(1 / (1 + spread / mean), rel=1e-5)
    assert score.centring == pytest.approx(1)
    total = 0.35 * 0.8 + 0.30 * contrast + 0.20 * score.homogeneity + 0.15
    assert score.total == pytest.approx(total, rel=1e-5)


def test_the_ring_widens_with_the_short_side() -> None:
    grey = np.zeros((400, 400), dtype=np.float32)
    mask = np.zeros(grey.shape, dtype=bool)
    mask[100:300, 100:300] = True  # 5 % of 200 px: 10 px
    grey[90:310, 90:310] = 100
    grey[mask] = 200
    assert mask_score(grey, mask, PARAMS).contrast == pytest.approx(1, abs=0.02)
    grey[97:303, 97:303] = 200  # all that a ring of 3 px would see
    assert mask_score(grey, mask, PARAMS).contrast > 0.5


@given(MASKS.filter(np.any), st.integers(0, 99))
def test_scores_stay_in_range_and_ignore_flips(mask: np.ndarray, seed: int) -> None:
    grey = np.random.default_rng(seed).uniform(0, 255, mask.shape).astype(np.float32)
    score, flipped = (mask_score(g, m, PARAMS) for g, m in ((grey, mask), (grey.T, mask.T)))
    assert all(0 <= v <= 1 for v in score.model_dump().values())
    assert flipped.total == pytest.approx(score.total, abs=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.35, np.pi / 4, np.pi / 2])
@pytest.mark.parametrize("length", [180, 1000])
def test_the_bead_beats_the_plate(angle: float, length: float) -> None:
    bead = tilted_bar(256, length, 30, angle)
    masks = np.stack([~bead, np.ones_like(bead), clean_mask(~bead), bead])
    for seed in range(3):
        for plate, weld in ((90, 150), (200, 110)):
            best = best_mask(drawing(bead, seed, plate, weld), masks, PARAMS)
            assert best is not None
            assert best[0] == 3


@pytest.mark.parametrize("top", [15, 60, 110])
def test_a_smooth_half_plate_in_a_wide_image_is_not_the_bead(top: int) -> None:
    bead = np.zeros((160, 640), dtype=bool)
    bead[top : top + 36] = True
    above, below = np.zeros_like(bead), np.zeros_like(bead)
    above[:top], below[top + 36 :] = True, True
    best = best_mask(drawing(bead, 1), np.stack([above, below, bead]), PARAMS)
    assert best is not None
    assert best[0] == 2


def test_a_diagonal_from_corner_to_corner_is_not_background() -> None:
    assert not is_background(tilted_bar(256, 1000, 30, np.pi / 4))
    cross = tilted_bar(256, 1000, 30, 0) | tilted_bar(256, 1000, 30, np.pi / 2)
    assert is_background(cross)
    assert not is_background(np.zeros((9, 9), dtype=bool))
    nearly_all = np.zeros((256, 256), dtype=bool)
    nearly_all[3:-3, 3:-3] = True
    assert is_background(nearly_all)


def test_a_bright_speck_is_not_the_bead() -> None:
    bead = tilted_bar(256, 180, 30, 0)
    speck = np.zeros_like(bead)
    speck[128, 110:146] = True
    grey = drawing(bead, 0)
    grey[speck] = 255
    assert mask_score(grey, speck, PARAMS).total > mask_score(grey, bead, PARAMS).total
    best = best_mask(grey, np.stack([speck, bead]), PARAMS)
    assert best is not None
    assert best[0] == 1


def test_the_bead_comes_cleaned() -> None:
    bead = tilted_bar(256, 180, 30, 0)
    ragged = bead.copy()
    ragged[120:124, 100:104] = False
    ragged[5:8, 5:8] = True
    best = best_bead(drawing(bead, 0), ragged[None], PARAMS)
    assert best is not None
    assert (best[0] & bead).sum() / (best[0] | bead).sum() > 0.98  # its corners are rounded
    assert best[1].total == mask_score(drawing(bead, 0), best[0], PARAMS).total


def test_spurs_fall_off_and_ends_at_the_border_stay() -> None:
    bead = np.zeros((200, 300), dtype=bool)
    bead[80:120] = True
    ragged = bead.copy()
    ragged[60:80, 150:158] = True
    ragged[120:150, 40:44] = True
    cleaned = clean_mask(ragged)
    assert (cleaned ^ bead).sum() < 60  # of 360 pixels of spurs, fillets at their feet may stay
    assert not cleaned[:72].any()
    assert not cleaned[128:].any()
    assert np.array_equal(clean_mask(bead), bead)


def test_no_bead_says_why() -> None:
    rng = np.random.default_rng(0)
    grey = rng.uniform(0, 255, (64, 64)).astype(np.float32)
    square = np.zeros((1, 64, 64), dtype=bool)
    square[0, 5:25, 5:25] = True
    assert best_bead(grey, square, PARAMS) is None
    cut = int(mask_score(grey, clean_mask(square[0]), PARAMS).total * 100) / 100
    assert no_bead_reason(grey, square, PARAMS) == f"no bead: best S_mask {cut:.2f} <= 0.65"
    assert best_bead(grey, square[:0], PARAMS) is None
    assert no_bead_reason(grey, square[:0], PARAMS) == "no bead: the segmenter found no mask"
    assert "background" in no_bead_reason(grey, np.ones_like(square), PARAMS)


def test_clean_keeps_the_largest_and_large_holes() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[10:50, 10:50] = True
    mask[20:40, 20:40] = False  # 400 of 1200: a ring
    mask[12, 12] = False
    mask[55:58, 55:58] = True
    cleaned = clean_mask(mask)
    assert cleaned[12, 12]
    assert not cleaned[30, 30]
    assert not cleaned[56, 56]


@given(MASKS)
def test_cleaning_once_is_enough(mask: np.ndarray) -> None:
    once = clean_mask(mask)
    assert once.any() == mask.any()
    assert np.array_equal(clean_mask(once), once)


def test_bad_input_is_named() -> None:
    grey = np.zeros((8, 8), dtype=np.float32)
    with pytest.raises(ShapeError, match="masks"):
        best_bead(grey, np.zeros((2, 8, 9), dtype=bool), PARAMS)
    with pytest.raises(BadInput, match="mask"):
        mask_score(grey, np.zeros((8, 8), dtype=bool), PARAMS)
