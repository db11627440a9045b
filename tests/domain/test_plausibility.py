"""Gate 1 refuses each planted fault for its own reason."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import ShapeError
from tasks.domain.parameters import PlausibleParams
from tasks.domain.plausibility import (
    Plausibility,
    inside_share,
    mask_iou,
    outside_change,
    plausibility_reasons,
    visible_change,
)

GOOD = Plausibility(bead_iou=0.9, inside_share=1.0, histogram=0.8, seam=0.8, change=9.0)
PARAMS = PlausibleParams()


def _bead() -> np.ndarray:
    bead = np.zeros((40, 60), bool)
    bead[10:30, 5:55] = True
    return bead


def test_shares_of_a_known_change() -> None:
    before = np.full((40, 60, 3), 100, np.uint8)
    after = before.copy()
    after[15, 20] = 130
    assert inside_share(before, after, _bead()) == 1.0
    assert outside_change(before, after, _bead()) == 0.0
    after[0, 0] = 70
    assert inside_share(before, after, _bead()) == pytest.approx(0.5)
    assert outside_change(before, after, _bead()) == pytest.approx(30 / (40 * 60 - 20 * 50))


def test_nothing_changed_and_nothing_outside() -> None:
    image = np.full((40, 60, 3), 9, np.uint8)
    assert inside_share(image, image, _bead()) == 1.0
    assert outside_change(image, 255 - image, np.ones((40, 60), bool)) == 0.0


@given(st.integers(0, 2**32 - 1))
def test_iou_is_symmetric_and_exact_on_shifted_squares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((9, 9)) > 0.5, rng.random((9, 9)) > 0.5
    assert mask_iou(a, b) == mask_iou(b, a)
    assert mask_iou(a, a) == 1.0
    square = np.zeros((20, 20), bool)
    square[:, :10] = True
    assert mask_iou(square, np.roll(square, 5, axis=1)) == pytest.approx(1 / 3)
    assert mask_iou(np.zeros((3, 3), bool), np.zeros((3, 3), bool)) == 1.0


@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_grain_drawn_anew_is_a_change_of_one(sigma: float) -> None:
    rng = np.random.default_rng(5)
    scene = np.full((200, 200), 120.0)
    before = (scene + rng.normal(0, sigma, scene.shape)).astype(np.float32)
    after = (scene + rng.normal(0, sigma, scene.shape)).astype(np.float32)
    region = np.zeros(scene.shape, bool)
    region[20:180, 20:180] = True
    assert visible_change(before, after, region, sigma) == pytest.approx(1.0, abs=0.1)
    assert visible_change(before, before, region, sigma) == 0.0
    assert visible_change(before, after, np.zeros_like(region), sigma) == 0.0
    assert visible_change(before, after - 12, region, sigma) > PARAMS.min_change


def test_the_good_passes_and_each_fault_is_named_with_its_figures() -> None:
    assert plausibility_reasons(GOOD, PARAMS, is_placebo=False) == ()
    for name, least in (
        ("bead_iou", "0.80"),
        ("inside_share", "0.99"),
        ("histogram", "0.35"),
        ("seam", "0.60"),
    ):
        bad = GOOD.model_copy(update={name: 0.12})
        (reason,) = plausibility_reasons(bad, PARAMS, is_placebo=True)
        assert reason.startswith(f"{name} .12 < {least.removeprefix('0')} (")


def test_change_is_asked_of_edits_but_not_of_placebos() -> None:
    same = GOOD.model_copy(update={"change": 1.0})
    (reason,) = plausibility_reasons(same, PARAMS, is_placebo=False)
    assert reason == "change 1.00 < 3.00 (multiples of the grain)"
    assert plausibility_reasons(same, PARAMS, is_placebo=True) == ()


def test_a_refused_figure_never_reads_as_its_limit_and_nan_is_refused() -> None:
    close = GOOD.model_copy(update={"inside_share": 0.98999})
    assert "inside_share .98 < .99" in plausibility_reasons(close, PARAMS, is_placebo=False)[0]
    nan = GOOD.model_copy(update={"seam": float("nan")})
    assert plausibility_reasons(nan, PARAMS, is_placebo=False)[0].startswith("seam nan")


def test_other_grids_are_refused() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ShapeError):
        inside_share(image, np.zeros((4, 5, 3), np.uint8), np.ones((4, 4), bool))
    with pytest.raises(ShapeError):
        mask_iou(np.ones((4, 4), bool), np.ones((5, 4), bool))
