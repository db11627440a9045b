"""Promotion: only what is shown not to be worse, by the interval and not by the mean."""

import pytest

from tasks.domain.bootstrap import Estimate
from tasks.domain.promotion import promotion


def gain(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


@pytest.mark.parametrize(
    ("real", "champion", "share", "is_due"),
    [
        (gain(0.1, 0.05), None, 0.15, True),
        (gain(0.0, 0.01), None, 0.15, True),
        (gain(0.1, 0.2), None, 0.15, False),
        (gain(0.1, 0.05), gain(-0.01, 0.005), 0.15, True),
        (gain(0.1, 0.05), gain(0.01, 0.05), 0.15, False),
        (gain(0.1, 0.05), None, 0.0, False),
        (gain(float("nan"), 0.0), None, 0.15, False),
    ],
)
def test_the_lower_bound_decides(real, champion, share, is_due):
    verdict = promotion("v2", share, real, champion, "v1" if champion else None, 0.02)
    assert verdict.is_due is is_due
    assert verdict.reason.startswith("not worse" if is_due else "held")


def test_the_reason_names_who_it_may_be_worse_than():
    verdict = promotion("v2", 0.1, gain(0.1, 0.01), gain(-0.1, 0.05), "v1", 0.02)
    assert "champion v1 -0.100 (-0.150 to -0.050)" in verdict.reason
