"""The command line: what it prints, what it refuses, and its exit status."""

import json

import pytest
from landed import land
from small_run import small_run

from flows.cli import main
from flows.grow_pool import grow_pool
from tasks.store.archive import Archive
from tasks.store.rows import TrialRow
from tasks.store.trials import Trials


def run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["poolstar", *words])
    status = 0
    try:
        main()
    except SystemExit as exc:
        status = int(exc.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_models_are_listed_and_checked(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "models", "ls", "--json")
    assert status == 0
    assert json.loads(out)["tiny"]["native_window_px"] == 64
    status, _, err = run(monkeypatch, capsys, "models", "check", "tiny")
    assert (status, "whole" in err) == (0, True)


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
        (["trial", "nowhere", "--pool", "p"], "neither"),
        (["trial", ".", "--pool", "p", "--arm", "filtered"], "Expected the arm `real`"),
        (["trial", ".", "--pool", "p", "--arm", "reel"], "arms"),
        (["trial", ".", "--pool", "p", "--kind", "crack"], "one --kind"),
        (["nightly", "nowhere", "--pool", "p"], "neither"),
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


def test_trials_of_a_pool_are_listed_with_the_champion(monkeypatch, capsys, tmp_path):
    pool = str(tmp_path / "pool")
    land(pool, "r1", ["a"])
    Trials(pool).record(
        TrialRow(
            trial_id="t", version="v1", dataset="x", recommended_share=0.15, is_promoted=True,
            reason="not worse: recall against real +0.1", params="{}", result="{}",
            created_at="2026-11-23T00:00:00+00:00",
        )
    )  # fmt: skip
    status, out, _ = run(monkeypatch, capsys, "trials", "--pool", pool)
    assert status == 0
    assert "champion: v1" in out
    assert "share 15%  promoted: not worse: recall against real +0.1" in out
    status, out, _ = run(monkeypatch, capsys, "trials", "--pool", pool, "--json")
    assert json.loads(out)["trials"][0]["trial_id"] == "t"
