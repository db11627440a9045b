"""Better only by an interval wholly on one side; each refusal has its own reason in figures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.adaptation_verdict import (
    AdaptationFigures,
    PairedDifferences,
    SetFigures,
    VerdictParams,
    verdict,
)
from tasks.domain.bootstrap import Estimate

PARAMS = VerdictParams()
BETTER, SAME, WORSE = (-0.3, -0.5, -0.1), (-0.05, -0.2, 0.1), (0.2, 0.1, 0.3)
UNKNOWN = (math.nan,) * 3


def at(figure: tuple[float, float, float]) -> Estimate:
    return Estimate(value=figure[0], low=figure[1], high=figure[2])


def figures(kid=None, placebo=SAME, psnr=SAME, memorised=(0.02, 0.0, 0.06)) -> AdaptationFigures:
    """Figures of which only the differences and the copies vary."""
    auc = at((0.8, 0.7, 0.9))
    one = SetFigures(
        psnr_db=at((30.0, 29.0, 31.0)), kid=None if kid is None else at((0.5, 0.4, 0.6)),
        faithfulness=None, real_vs_synthetic_auc=auc, placebo_auc=auc,
        memorised=None if memorised is None else at(memorised),
    )  # fmt: skip
    change = PairedDifferences(
        psnr_db=at(psnr), kid=None if kid is None else at(kid),
        real_vs_synthetic_auc=at(SAME), placebo_auc=at(placebo),
    )  # fmt: skip
    return AdaptationFigures(base=one, adapted=one, difference=change)


def test_with_real_defects_likeness_to_them_decides():
    found = verdict(figures(kid=BETTER, placebo=WORSE), PARAMS)
    assert found.is_better
    assert found.reasons == (
        "likeness: nearer to real defects, KID -0.3000 (-0.5000 to -0.1000) against base",
        "reconstruction: not shown to be worse, PSNR -0.05 (-0.20 to +0.10) dB against base",
        "memory: share of copies of training windows 0.020 (0.000 to 0.060) <= 0.100",
    )
    for kid in (SAME, WORSE):
        (reason,) = verdict(figures(kid=kid, placebo=BETTER), PARAMS).reasons
        assert reason.startswith("likeness: not shown to be nearer")


def test_without_real_defects_the_placebos_decide():
    found = verdict(figures(placebo=BETTER), PARAMS)
    assert found.is_better
    assert "placebos harder to tell from real zones, AUC -0.300" in found.reasons[0]
    assert not verdict(figures(placebo=SAME), PARAMS).is_better


@pytest.mark.parametrize("kid", [BETTER, None])
def test_worse_reconstruction_and_copies_refuse_whatever_else_is_better(kid):
    found = verdict(figures(kid, BETTER, (-1.0, -1.5, -0.5), (0.2, 0.1, 0.35)), PARAMS)
    assert not found.is_better
    psnr, memory = found.reasons
    assert psnr == "reconstruction: worse, PSNR -1.00 (-1.50 to -0.50) dB against base"
    assert memory.endswith("0.200 (0.100 to 0.350) > 0.100")
    assert verdict(figures(kid, BETTER, memorised=(0.1, 0.0, 0.3)), PARAMS).is_better
    lenient = VerdictParams(max_memorised=0.25)
    assert verdict(figures(kid, BETTER, memorised=(0.2, 0.1, 0.35)), lenient).is_better


def test_a_figure_that_could_not_be_measured_speaks_against():
    for broken in ({"kid": UNKNOWN}, {"placebo": UNKNOWN}, {"psnr": UNKNOWN}):
        found = verdict(figures(**({"placebo": BETTER} | broken)), PARAMS)
        assert not found.is_better
        assert any("could not be measured" in reason for reason in found.reasons)
    unsure = verdict(figures(kid=BETTER, memorised=UNKNOWN), PARAMS)
    assert "unknown" in unsure.reasons[0]
    unasked = verdict(figures(kid=BETTER, memorised=None), PARAMS)
    assert unasked.is_better
    assert "not looked for" in unasked.reasons[2]


ENDS = st.tuples(*[st.floats(-2, 2)] * 3).map(lambda v: (sorted(v)[1], min(v), max(v)))


@given(ENDS | st.none(), ENDS, ENDS, st.floats(0, 1))
def test_it_is_better_just_when_no_reason_speaks_against(kid, placebo, psnr, share):
    found = verdict(figures(kid, placebo, psnr, (share, 0.0, 1.0)), PARAMS)
    decides = placebo if kid is None else kid
    assert found.is_better == (decides[2] < 0 and psnr[2] >= 0 and share <= 0.1)
    assert len(found.reasons) >= 1
