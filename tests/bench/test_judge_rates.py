"""How often `judge` refuses what it should and passes what it should: 50 files of each."""

import pytest
from handed_in import GATE_1_AND_REALISM, RIGHT, reasons_of, share_of
from planted import FAULTS, Bench, cases_of, good_case, placed_case

pytestmark = pytest.mark.bench
COUNT = 50


def test_planted_faults_are_refused_and_real_defects_pass(record, tmp_path):
    bench = Bench(tmp_path / "bench", "tiny")
    good = reasons_of(bench, cases_of(good_case, COUNT, 100), tmp_path / "good")
    passed = 1 - share_of(good, GATE_1_AND_REALISM)
    accepted = sum(not each for each in good)
    told = sorted({one.split(" ")[0] for each in good for one in each})
    record("judge, real defects", value=passed, unit="pass gate 1 and realism",
           accepted=accepted, of=COUNT, reasons_against=told)  # fmt: skip
    rates = {}
    for fault, plant in FAULTS.items():
        cases = [plant(case) for case in cases_of(placed_case, COUNT, 200)]
        found = reasons_of(bench, cases, tmp_path / fault)
        right, refused = share_of(found, RIGHT[fault]), sum(bool(each) for each in found)
        record(f"judge, {fault}", value=right, unit="refused for the right reason",
               refused=refused, of=COUNT)  # fmt: skip
        rates[fault] = right
    assert min(rates.values()) >= 0.8, rates
    assert passed >= 0.85
