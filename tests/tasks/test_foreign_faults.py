"""Planted faults as a stranger hands them in: image files alone, the region to be found.

The gates must refuse them for the right reasons, and let real defects through; the bench
`test_judge_rates.py` does the same with more of each.
"""

import pytest
from handed_in import GATE_1_AND_REALISM, RIGHT, reasons_of, share_of
from planted import FAULTS, Bench, cases_of, good_case, placed_case

COUNT = 12

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), "tiny")


def test_real_defects_pass_gate_1_and_realism(bench, tmp_path):
    found = reasons_of(bench, cases_of(good_case, COUNT, 100), tmp_path)
    assert share_of(found, GATE_1_AND_REALISM) <= 0.1


def test_a_jpeg_is_refused_for_what_it_changed_everywhere(bench, tmp_path):
    cases = cases_of(good_case, 6, 100)
    found = reasons_of(bench, cases, tmp_path, quality=95, subsampling=0)
    assert share_of(found, ("inside_share",)) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_refused_for_the_right_reason(bench, tmp_path, fault):
    cases = [FAULTS[fault](case) for case in cases_of(placed_case, COUNT, 200)]
    assert share_of(reasons_of(bench, cases, tmp_path), RIGHT[fault]) >= 0.9
