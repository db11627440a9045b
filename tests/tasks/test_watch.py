"""A pool measured as a whole: information and drift by command; what the report says of them."""

import json

import numpy as np
import pytest
from command_line import run
from landed import BEAD, LONG, columns, run_row, source_row

from tasks.domain.drift import Divergence, VersionDrift
from tasks.domain.energy import StageCost, run_energy
from tasks.domain.information import InformationParams
from tasks.domain.parameters import LoopParams
from tasks.domain.redundancy import RedundantPair
from tasks.ledger_page import energy_line, energy_rows, gain_rows, ledger_notes
from tasks.store.archive import Archive
from tasks.store.images import encoded_png
from tasks.store.rows import PoolRow
from tasks.watch import Watched, drift_rows, pool_drift, pool_information

RNG = np.random.default_rng(0)


def around(axis: int) -> np.ndarray:
    row = np.eye(8)[axis] + 0.1 * RNG.standard_normal(8)
    return (row / np.linalg.norm(row)).astype(np.float32)


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> str:
    """v1: cracks like the real ones; v2: all alike, of another kind, across the bead."""
    uri = str(tmp_path_factory.mktemp("watched") / "pool")
    sources = [source_row(f"ok{i}", embedding=around(0)) for i in range(20)] + [
        source_row(
            f"ko{i}", label="KO", kind="crack", embedding=around(1), defect_angle_deg=0.0,
            defect_share=float(LONG.mean()),
        )
        for i in range(10)
    ]  # fmt: skip
    across = np.zeros_like(LONG)
    across[5:75, 60:64] = True
    for version, (kind, mask, axis) in enumerate((("crack", LONG, 1), ("burr", across, 5))):
        rows = [
            columns(
                f"{kind}{i}", kind=kind, source_id=f"ok{i % 20}", embedding=around(axis),
                mask=encoded_png(mask), bead_mask=encoded_png(BEAD),
            )
            for i in range(20)
        ]  # fmt: skip
        Archive(uri).land(
            run_row(f"r{version}", Archive(uri).latest()), pool=[PoolRow(**row) for row in rows],
            rejected=[], sources=sources, embedding_dim=8,
        )  # fmt: skip
    return uri


def test_drift_alarms_for_what_was_planted_and_for_nothing_else(pool):
    first, second = pool_drift(pool, LoopParams(draws=100))
    assert first.alarms() == []
    assert {one.measure for one in second.divergences if one.is_alarming} == {
        "kind", "orientation", "embedding",
    }  # fmt: skip
    (alone,) = pool_drift(pool, LoopParams(draws=100), ["v2"])
    assert alone == second


def test_what_lies_outside_the_real_domain_is_warned_of(pool):
    params = InformationParams(draws=100)
    before, after = (pool_information(pool, params, version) for version in ("v1", "v2"))
    assert (before.outside, after.outside) == (pytest.approx(0, abs=2), pytest.approx(20, abs=2))
    assert not any(one.is_alarming for one in before.gains)
    assert all(one.is_alarming for one in after.gains)
    assert after.rarity["crack"] == pytest.approx(np.log2(3))
    assert after.rarity["burr"] is None


def test_the_commands_say_the_same_and_an_alarm_is_a_status(pool, monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "pool", "drift", "--pool", pool, "--json")
    told = json.loads(out)
    assert status == 1
    assert len(told["alarms"]) == 3
    status, out, _ = run(
        monkeypatch, capsys, "pool", "drift", "--pool", pool, "--threshold", "1"
    )  # fmt: skip
    assert (status, "ALARM" in out) == (0, False)
    assert "orientation" in out
    status, out, _ = run(monkeypatch, capsys, "pool", "information", "--pool", pool)
    assert status == 0
    assert "WARNING" in out
    assert "Miller-Madow" in out
    status, out, _ = run(
        monkeypatch, capsys, "pool", "information", "--pool", pool, "--version", "v1", "--json"
    )  # fmt: skip
    assert json.loads(out)["synthetic"] == 20


@pytest.mark.parametrize("command", ["information", "drift"])
def test_a_pool_that_is_not_there_is_named(command, monkeypatch, capsys):
    status, _, err = run(monkeypatch, capsys, "pool", command, "--pool", "nowhere")
    assert (status, "there is none" in err) == (1, True)


def energy(joules: dict[str, float]):
    costs = [StageCost(stage="inpaint", seconds=90, share_s=80, joules=dict(joules))]
    old = StageCost(stage="measure", seconds=9, share_s=9, joules=dict(joules))
    return run_energy(costs, [("measure", old)], seconds=100, joules=joules, watts=70, accepted=20)


def test_the_energy_table_adds_up_and_stands_beside_the_articles_line():
    told = energy({})
    line = energy_line(told)
    assert line.startswith("estimated: 1.94 Wh this run")
    assert "0.097 Wh an image, 1.17 kWh" in line
    rows = energy_rows(told)
    assert [row["stage"] for row in rows] == [
        "inpaint", "measure", "between stages", "this run until it landed",
    ]  # fmt: skip
    now = [float(row["wh"]) for row in rows]
    assert sum(now[:-1]) == pytest.approx(now[-1], abs=0.002)
    assert (rows[1]["reused"], rows[1]["wh"], rows[1]["wh_before"]) == (1, "0.000", "0.175")
    assert "estimated" not in energy_line(energy({"cpu": 500.0}))


def test_the_report_names_alarms_gains_from_outside_and_prompts_to_merge(pool):
    pair = RedundantPair(
        first="crack: a", second="crack: b", cosine=0.99, p_value=0.7, edits=(9, 9)
    )
    watched = Watched(
        information=pool_information(pool, InformationParams(draws=50)),
        drift=pool_drift(pool, LoopParams(draws=50), ["v2"])[0],
        redundant=(pair,),
    )
    notes = " ".join(ledger_notes(watched))
    assert "Alarm: v2: kind has drifted" in notes
    assert "outside the real domain" in notes
    assert "crack: a / crack: b" in notes
    assert [row["over"].split()[0] for row in gain_rows(watched.information)] == [
        "kinds", "clusters",
    ]  # fmt: skip
    rows = drift_rows([watched.drift])
    assert [row["alarm"] for row in rows].count("alarm") == 3
    assert isinstance(watched.drift, VersionDrift)
    assert all(isinstance(one, Divergence) for one in watched.drift.divergences)
