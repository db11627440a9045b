"""A pool and its store on s3://, from the command line, and two runs growing it at once."""

import json
import os
import subprocess
import sys
import time

import pytest
from command_line import run
from object_store import KEY, SECRET
from small_run import KILLED_RUN, small_run
from small_trial import null_pool, render_dataset, small_trial

from flows.grow_pool import grow_pool
from flows.run_trial import run_trial
from tasks.domain.parameters import SegmentParams
from tasks.energy import tally_energy
from tasks.store.archive import Archive
from tasks.store.remote import place
from tasks.store.trials import Trials


def one_kind(plant, home, kind: int, **changes):
    """Half of the small run: one prompt, one round."""
    params = small_run(plant, home, segment=SegmentParams(points_per_side=8), **changes)
    return params.model_copy(update={"prompts": (params.prompts[kind],), "max_rounds": 1})


@pytest.mark.slow
def test_two_runs_growing_one_pool_at_once_end_as_one_after_the_other(plant, bucket, tmp_path):
    uri = f"{bucket}/line3/pool"
    runs = [
        one_kind(plant, tmp_path, i).model_copy(update={"pool": uri, "store": f"{bucket}/store"})
        for i in (0, 1)
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED_RUN, params.model_dump_json()],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )
        for params in runs
    ]  # fmt: skip
    said = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    archive = Archive(uri)
    assert archive.versions() == ["v1", "v2"]
    assert archive.verify("v1").ok
    assert archive.verify("v2").ok
    assert [run["base_version"] for run in archive._runs("v2")] == [None, "v1"]
    landed = [archive.verify(version).manifest for version in ("v1", "v2")]
    order = (0, 1) if said[0][0].strip() == landed[0] else (1, 0)
    assert [said[i][0].strip() for i in order] == landed
    for i in order:  # the same two, one after the other, in a folder
        grow_pool(one_kind(plant, tmp_path, i))
    there = Archive(str(tmp_path / "pool"))
    assert [there.verify(version).manifest for version in ("v1", "v2")] == landed


@pytest.mark.slow
def test_a_run_overtaken_by_one_of_the_same_prompt_is_judged_anew(monkeypatch, plant, tmp_path):
    """The other run lands between this one's judgement and its landing; edits overlap."""
    ours = one_kind(plant, tmp_path, 0)
    fewer = (ours.prompts[0].model_copy(update={"target": 2}),)
    other = ours.model_copy(update={"prompts": fewer})
    original, overtaken_by = tally_energy, [other]

    def overtaken(*args):
        if overtaken_by:
            grow_pool(overtaken_by.pop())
        return original(*args)

    monkeypatch.setattr("flows.landing.tally_energy", overtaken)
    ended = grow_pool(ours)
    assert (ended.version, overtaken_by) == ("v2", [])
    archive = Archive(ours.pool)
    assert archive.verify("v2").ok
    assert [run["base_version"] for run in archive._runs("v2")] == [None, "v1"]
    elsewhere = {"pool": str(tmp_path / "apart"), "store": f"{ours.pool}.store"}
    grow_pool(other.model_copy(update=elsewhere))
    assert grow_pool(ours.model_copy(update=elsewhere)).manifest == ended.manifest


@pytest.mark.slow
def test_every_command_that_takes_a_pool_takes_one_on_s3(
    monkeypatch, capsys, plant, bucket, s3, tmp_path
):
    uri = f"{bucket}/line3/pool"
    for seed in ("0", "1"):
        status, out, err = run(
            monkeypatch, capsys, "grow", str(plant), "--pool", uri, "--kind", "crack",
            "--target", "2", "--rounds", "1", "--seed", seed, "--json",
        )  # fmt: skip
        assert status == 0, err
    grown = json.loads(out)
    assert grown["report"] == f"{bucket}/line3/report.html"
    assert grown["manifest"].encode() in place(grown["report"]).read_bytes()
    best = Archive(uri).list_rows()[0]
    for words in (
        ["pool", "ls"], ["pool", "verify"], ["pool", "show", best["id"]],
        ["pool", "diff", "v1", "v2"], ["pool", "information"], ["pool", "drift"], ["trials"],
        ["export", "coco", "--out", str(tmp_path / "coco")],
        ["pool", "forget", best["source_id"], "--why", "asked"],
        ["pool", "verify"],
    ):  # fmt: skip
        status, out, err = run(monkeypatch, capsys, *words, "--pool", uri)
        assert status == 0, (words, out, err)
        assert SECRET not in out + err
        assert KEY not in out + err
    assert Archive(uri).versions() == ["v1", "v2", "v3"]
    objects = s3.client.list_objects_v2(Bucket=bucket[5:])["Contents"]
    assert any(one["Key"].startswith("line3/pool.store/") for one in objects)
    for one in objects:
        assert SECRET.encode() not in place(f"{bucket}/{one['Key']}").read_bytes()


@pytest.mark.slow
def test_a_trial_of_a_pool_on_s3(bucket, tmp_path):
    render_dataset(tmp_path / "data")
    uri = f"{bucket}/pool"
    null_pool(uri)
    params = small_trial(
        tmp_path / "data", tmp_path, arms=("real", "filtered"), seeds=2, mix={"shares": (0.0, 0.3)}
    ).model_copy(update={"pool": uri, "report": f"{bucket}/trial.html"})
    result = run_trial(params)
    assert {arm.arm for arm in result.arms} == {"real", "filtered"}
    assert [row["version"] for row in Trials(uri).rows()] == ["v1"]
    assert Archive(uri).verify().ok
    assert b"recall" in place(f"{bucket}/trial.html").read_bytes()


@pytest.mark.slow
def test_expired_credentials_are_said_in_one_line(monkeypatch, capsys, plant, bucket, s3):
    uri = f"{bucket}/pool"
    with s3.refusing("expired"):
        started = time.monotonic()
        for words in (
            ["pool", "verify", "--pool", uri],
            ["grow", str(plant), "--pool", uri, "--kind", "crack"],
        ):
            status, out, err = run(monkeypatch, capsys, *words)
            assert (status, out) == (1, "")
            assert "refuses the credentials" in err
            assert "Traceback" not in err
            assert SECRET not in err
        assert time.monotonic() - started < 60  # not retried: time does not heal it
    assert not place(uri).exists()
