"""The command line: what it prints, what it refuses, and its exit status."""

import json
import logging
import math

import pytest
from command_line import run
from exported import land_pictures
from landed import land
from small_run import small_run

from flows.grow_pool import grow_pool
from flows.terminal import print_json, quiet_prefect, surface_of
from flows.trial_commands import _nights_trial
from tasks.domain.errors import BadInput
from tasks.domain.parameters import SegmentParams
from tasks.domain.trial_parameters import TrialParams
from tasks.store.archive import Archive
from tasks.store.rows import TrialRow
from tasks.store.trials import Trials


def test_models_are_listed_and_checked(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "models", "ls", "--json")
    assert status == 0
    assert json.loads(out)["tiny"]["native_window_px"] == 64
    status, _, err = run(monkeypatch, capsys, "models", "check", "tiny")
    assert (status, "whole" in err) == (0, True)


def test_a_set_that_is_not_there_yet_is_said_on_its_line_and_the_others_are_listed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("POOLSTAR_SD15", str(tmp_path / "yet to come"))
    status, out, _ = run(monkeypatch, capsys, "models", "ls")
    tiny, sd15 = out.splitlines()
    assert (status, tiny[:4], sd15[:4]) == (0, "tiny", "sd15")
    assert "yet to come, but it has no model_set.json" in sd15
    _, out, _ = run(monkeypatch, capsys, "models", "ls", "--json")
    told = json.loads(out)
    assert told["tiny"]["native_window_px"] == 64
    assert "model_set.json" in told["sd15"]["problem"]


def test_json_says_null_where_a_figure_is_no_number(capsys):
    print_json({"kid": math.nan, "range": (1.5, math.inf), "arms": [{"recall": -math.inf, "n": 3}]})
    assert json.loads(capsys.readouterr().out) == {
        "kid": None, "range": [1.5, None], "arms": [{"recall": None, "n": 3}],
    }  # fmt: skip


def test_errors_of_our_own_leave_no_traceback_in_the_log():
    quiet_prefect()
    logger = logging.getLogger("prefect.flow_runs")
    told = {}
    for error in (BadInput("x"), ValueError("x"), None):
        info = None if error is None else (type(error), error, None)
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", (), info)
        told[type(error)] = bool(logger.filter(record))
    assert told == {BadInput: False, ValueError: True, type(None): True}


JUDGE = ["judge", "nowhere", "--pool", "p", "--reference", "."]
GROW = ["grow", "x", "--pool", "p"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pool", "verify", "--pool", "nowhere"], "there is none"),
        ([*GROW, "--kind", "crack", "--prompt", "a", "--prompt", "b"], "one --kind"),
        (["grow", "x", "--pool", "p", "--kind", "rust", "--prompt", "rust"], "trained on"),
        (["grow", "nowhere", "--pool", "p", "--kind", "crack", "--prompt", "a crack"], "not one"),
        (["grow", "x", "--pool", "p", "--kind", "crack", "--prompt", " "], "only blanks"),
        ([*GROW, "--kind", "crack", "--prompt", "a", "--strength", "3"], "strength"),
        (["models", "check", "gpt"], "tiny, sd15 or a folder"),
        (["grwo"], "No such command"),
        (["export", "coco", "--pool", "nowhere", "--out", "x"], "there is none"),
        (["export", "voc", "--pool", "p", "--out", "x"], "not one of"),
        (["export", "coco", "--pool", "p", "--out", "x", "--splits", "a=2"], "such as train=.8"),
        (["trial", "nowhere", "--pool", "p"], "neither"),
        (["trial", ".", "--pool", "p", "--arm", "filtered"], "Expected the arm `real`"),
        (["trial", ".", "--pool", "p", "--arm", "reel"], "arms"),
        ([*GROW, "--kind", "crack", "--kind", "porosity", "--prompt", "a"], "no --prompt at all"),
        (["grow", "nowhere", "--pool", "p", "--kind", "crack"], "not one"),
        (["grow", ".", "--pool", "p", "--kind", "crack", "--mask", "gone.png"], "gone.png, but"),
        ([*GROW, "--kind", "crack", "--surface", "mask"], "not one of"),
        ([*GROW, "--kind", "crack", "--surface", "bead", "--mask", "m.png"], "exactly with the"),
        (["trial", ".", "--pool", "p", "--surface", "whole", "--mask", "m"], "exactly with the"),
        (["nightly", ".", "--pool", "p", "--surface", "bead", "--mask", "m"], "exactly with the"),
        (["trial", ".", "--pool", "p", "--kind", "crack"], "one --kind"),
        (["nightly", "nowhere", "--pool", "p"], "neither"),
        (["pool", "reproduce", "--all", "--pool", "nowhere"], "there is none"),
        (["pool", "reproduce", "--pool", "p"], "either ids, or --all, or --sample"),
        (["pool", "reproduce", "x", "--all", "--pool", "p"], "either ids, or --all, or --sample"),
        (["pool", "reproduce", "x", "--rejected", "--pool", "p"], "--rejected with --all"),
        ([*JUDGE, "--generation", "-1"], "generation"),
        (JUDGE, "neither"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_one_line(monkeypatch, capsys, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(monkeypatch, capsys, *words)
    assert status in {1, 2}
    assert out == ""
    assert said in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_pool_is_listed_shown_and_verified(monkeypatch, capsys, plant, tmp_path):
    params = small_run(plant, tmp_path).model_copy(update={"max_rounds": 1})
    result = grow_pool(params)
    _, out, _ = run(monkeypatch, capsys, "pool", "ls", "--pool", params.pool, "--json")
    listed = json.loads(out)
    assert listed["versions"] == ["v1"]
    assert len(listed["rows"]) == result.accepted
    best = listed["rows"][0]["id"]
    _, out, _ = run(monkeypatch, capsys, "pool", "show", best, "--pool", params.pool, "--json")
    assert json.loads(out)["kind"] == Archive(params.pool).row(best)["kind"]
    status, _, err = run(monkeypatch, capsys, "pool", "verify", "--pool", params.pool)
    assert (status, "whole" in err) == (0, True)
    status, out, _ = run(
        monkeypatch, capsys, "pool", "ls", "--pool", params.pool, "--kind", "x' OR 1=1 --", "--json"
    )
    assert json.loads(out)["rows"] == []


def test_a_pool_is_exported(monkeypatch, capsys, tmp_path):
    pool, out = str(tmp_path / "pool"), str(tmp_path / "out")
    land_pictures(pool, sources=4)
    words = ["export", "yolo", "--pool", pool, "--out", out, "--splits", "none"]
    status, text, err = run(monkeypatch, capsys, *words, "--kind", "crack", "--no-placebos")
    assert (status, text, "v1: 4 images" in err) == (0, "", True)
    _, text, _ = run(monkeypatch, capsys, *words, "--with-sources", "--json")
    told = json.loads(text)
    assert told["by_split"] == {"all": {"crack": 4, "pore/../x": 4, "sound": 6 + 10}}
    assert told["files"] == sum(path.is_file() for path in (tmp_path / "out").rglob("*"))


def record_trial(pool: str, params: str = "{}") -> None:
    land(pool, "r1", ["a"])
    Trials(pool).record(
        TrialRow(
            trial_id="t", version="v1", dataset="x", recommended_share=0.15, is_promoted=True,
            reason="not worse: recall against real +0.1", params=params, result="{}",
            created_at="2026-11-23T00:00:00+00:00",
        )
    )  # fmt: skip


def test_a_night_inspects_what_the_last_trial_did_unless_told_otherwise(tmp_path):
    pool = str(tmp_path / "pool")
    first = _nights_trial("x", pool, True, "tiny", surface_of(None, "new.png"))
    assert (first.segment.surface, first.segment.mask) == ("mask", "new.png")
    segment = SegmentParams(surface="mask", mask="old.png", points_per_side=5)
    last = TrialParams(dataset="x", pool=pool, seeds=3, segment=segment)
    record_trial(pool, last.model_dump_json())
    assert _nights_trial("x", pool, False, "tiny", surface_of(None, None)) == last
    moved = segment.model_copy(update={"mask": "new.png"})
    assert _nights_trial("x", pool, False, "tiny", surface_of(None, "new.png")) == last.model_copy(
        update={"segment": moved}
    )
    whole = _nights_trial("x", pool, False, "tiny", surface_of("whole", None)).segment
    assert whole == SegmentParams(surface="whole", points_per_side=5)


def test_trials_of_a_pool_are_listed_with_the_champion(monkeypatch, capsys, tmp_path):
    pool = str(tmp_path / "pool")
    record_trial(pool)
    status, out, _ = run(monkeypatch, capsys, "trials", "--pool", pool)
    assert status == 0
    assert "champion: v1" in out
    assert "share 15%  promoted: not worse: recall against real +0.1" in out
    status, out, _ = run(monkeypatch, capsys, "trials", "--pool", pool, "--json")
    assert json.loads(out)["trials"][0]["trial_id"] == "t"
