"""Better somewhere and worse nowhere, by intervals; each refusal has its own reason in figures."""

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
BETTER, SAME, WORSE = (-0.3, -0.5, -0.1), (-0.05, -0.2, 0.05), (0.2, 0.1, 0.3)
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


def test_one_figure_better_and_none_worse_is_enough():
    for better in ({"kid": BETTER}, {"kid": SAME, "psnr": (0.3, 0.1, 0.5)}, {"placebo": BETTER}):
        assert verdict(figures(**better), PARAMS).is_better, better
    found = verdict(figures(kid=BETTER), PARAMS)
    assert found.reasons == (
        "likeness: nearer to real defects, KID -0.3000 (-0.5000 to -0.1000) against base, "
        "margin +0.1000",
        "reconstruction: not shown to be worse, PSNR -0.05 (-0.20 to +0.05) dB against base",
        "traces: placebos not shown to be easier to tell from real zones, AUC -0.050 "
        "(-0.200 to +0.050) against base",
        "memory: share of copies of training windows 0.020 (0.000 to 0.060) <= 0.100",
    )


def test_as_good_as_the_base_is_not_better():
    found = verdict(figures(kid=(0.0, -0.1, 0.05)), PARAMS)
    assert not found.is_better
    assert len(found.reasons) == 4


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        ({"kid": (0.0, -0.2, 0.11)}, "likeness: not as near to real defects"),
        ({"psnr": (-1.0, -1.5, -0.5)}, "reconstruction: worse, PSNR -1.00"),
        ({"placebo": WORSE}, "traces: placebos easier to tell"),
        ({"memorised": (0.2, 0.1, 0.35)}, "memory: share of copies of training windows 0.200"),
    ],
)
def test_one_figure_worse_refuses_whatever_else_is_better(worse, said):
    good = {"kid": BETTER, "psnr": (0.3, 0.1, 0.5), "placebo": BETTER}
    (reason,) = verdict(figures(**(good | worse)), PARAMS).reasons
    assert reason.startswith(said)


def test_margins_are_parameters():
    assert verdict(
        figures(kid=BETTER, memorised=(0.2, 0.1, 0.35)), VerdictParams(max_memorised=0.25)
    ).is_better
    further = figures(kid=(0.0, -0.2, 0.11), placebo=BETTER)
    assert verdict(further, VerdictParams(max_kid_rise=0.25)).is_better


def test_a_figure_that_could_not_be_measured_speaks_against():
    for broken in ({"kid": UNKNOWN}, {"placebo": UNKNOWN}, {"psnr": UNKNOWN}):
        found = verdict(figures(**({"kid": BETTER, "placebo": BETTER} | broken)), PARAMS)
        assert not found.is_better
        assert any("could not be measured" in reason for reason in found.reasons)
    unsure = verdict(figures(kid=BETTER, memorised=UNKNOWN), PARAMS)
    assert "unknown" in unsure.reasons[0]
    unasked = verdict(figures(kid=BETTER, memorised=None), PARAMS)
    assert unasked.is_better
    assert "not looked for" in unasked.reasons[3]


ENDS = st.tuples(*[st.floats(-2, 2)] * 3).map(lambda v: (sorted(v)[1], min(v), max(v)))


@given(ENDS | st.none(), ENDS, ENDS, st.floats(0, 1))
def test_it_is_better_just_when_no_reason_speaks_against(kid, placebo, psnr, share):
    found = verdict(figures(kid, placebo, psnr, (share, 0.0, 1.0)), PARAMS)
    is_fine = (kid is None or kid[2] <= 0.1) and psnr[2] >= 0 and placebo[1] <= 0 and share <= 0.1
    better = psnr[1] > 0 or placebo[2] < 0 or (kid is not None and kid[2] < 0)
    assert found.is_better == (is_fine and better)
    assert len(found.reasons) >= 1
