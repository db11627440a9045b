"""Deployments on a real server: by prompt, by schedule, by event, cancelled, killed, and again."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from deployed_runs import processes_of
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_stack import ROOT, await_true

from flows.deployments import put_back, register_all
from tasks.domain.errors import PoolstarError
from tasks.store.archive import Archive

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("worker")]


def test_a_run_per_prompt_lands_a_version_and_shows_its_gallery(runs, grown):
    archive = Archive(str(runs.home / "first"))
    assert archive.versions() == ["v1"]
    assert archive.verify().ok
    artifacts = runs.artifacts(grown["id"])
    assert artifacts["pool-gallery"]["type"] == "markdown"
    assert "data:image/jpeg;base64," in artifacts["pool-gallery"]["data"]
    assert archive.verify().manifest[:16] in artifacts["pool-gallery"]["data"]
    assert json.loads(artifacts["pool-funnel"]["data"])
    assert Path(runs.home / "first.html").exists()


def test_a_relative_path_is_refused_before_any_work(runs):
    asked = runs.grow("x")
    asked["params"]["pool"] = "pools/line3"
    run = runs.ended(runs.start("grow-pool", asked))
    assert run["state_type"] == "FAILED"
    assert "absolute" in run["state"]["message"]
    assert "pool 'pools/line3'" in run["state"]["message"]
    assert runs.stages(run["id"]) == {}


def test_registering_again_keeps_what_was_set_in_the_ui(runs):
    server, name = runs.server, "nightly"
    before = runs.deployment(name)
    schedule = before["schedules"][0]
    assert not schedule["active"], "without a dataset no night may start"
    night = {"trial": {"dataset": "/data/line3.csv", "pool": "/pools/line3"}}
    path = f"/deployments/{before['id']}"
    server.client.patch(path, json={"parameters": {"params": night}}).raise_for_status()
    toggle = f"{path}/schedules/{schedule['id']}"
    server.client.patch(toggle, json={"active": True}).raise_for_status()
    automations = server.post("/automations/filter")
    done = server.poolstar("deploy", "--json")
    assert done.returncode == 0, done.stderr
    after = runs.deployment(name)
    assert after["id"] == before["id"]
    assert after["parameters"] == {"params": night}
    assert [(one["slug"], one["active"]) for one in after["schedules"]] == [("nightly", True)]
    assert after["schedules"][0]["schedule"]["timezone"] == "Europe/Paris"
    again = server.post("/automations/filter")
    assert sorted(one["name"] for one in again) == sorted(one["name"] for one in automations)
    assert json.loads(done.stdout)["limit"] == 1
    assert server.get("/work_pools/gpu")["concurrency_limit"] == 1
    server.client.patch(
        f"{path}/schedules/{after['schedules'][0]['id']}", json={"active": False}
    ).raise_for_status()


def test_registering_again_keeps_a_schedule_that_the_ui_added(runs):
    server, name = runs.server, "nightly"
    path = f"/deployments/{runs.deployment(name)['id']}/schedules"
    weekly = {"active": False, "schedule": {"cron": "0 6 * * 1", "timezone": "Europe/Paris"}}
    server.client.post(path, json=[weekly]).raise_for_status()
    for _ in range(2):
        done = server.poolstar("deploy")
        assert done.returncode == 0, done.stderr
        after = runs.deployment(name)["schedules"]
        assert sorted(one["schedule"]["cron"] for one in after) == ["0 2 * * *", "0 6 * * 1"]
    (added,) = [one for one in after if one["slug"] != "nightly"]
    server.client.delete(f"{path}/{added['id']}").raise_for_status()


def test_registering_again_keeps_limit_job_variables_and_a_trigger_that_is_off(runs):
    client, name = runs.server.client, "grow-on-new-images"
    path = f"/deployments/{runs.deployment(name)['id']}"
    before = runs.deployment(name)["job_variables"]
    mine = {"env": {**before["env"], "OMP_NUM_THREADS": "1"}}
    client.patch(path, json={"job_variables": mine, "concurrency_limit": 3}).raise_for_status()
    (trigger,) = _automations(runs, "poolstar-images-arrived")
    off = client.patch(f"/automations/{trigger['id']}", json={"enabled": False})
    off.raise_for_status()
    done = runs.server.poolstar("deploy")
    assert done.returncode == 0, done.stderr
    after = runs.deployment(name)
    assert after["job_variables"] == mine
    assert after["global_concurrency_limit"]["limit"] == 3
    assert runs.deployment("nightly")["global_concurrency_limit"]["limit"] == 1
    assert runs.deployment("nightly")["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    (trigger,) = _automations(runs, "poolstar-images-arrived")
    assert not trigger["enabled"]
    client.patch(f"/automations/{trigger['id']}", json={"enabled": True}).raise_for_status()
    client.patch(path, json={"job_variables": before, "concurrency_limit": None})


def _automations(runs, name: str) -> list[dict]:
    return [one for one in runs.server.post("/automations/filter") if one["name"] == name]


@pytest.mark.parametrize("how", [PoolstarError, KeyboardInterrupt])
def test_a_deploy_that_breaks_off_loses_nothing_that_was_set_in_the_ui(runs, monkeypatch, how):
    client, path = runs.server.client, f"/deployments/{runs.deployment('grow-pool')['id']}"
    client.patch(path, json={"parameters": {"params": {"run_seed": 7}}}).raise_for_status()

    def half_done():
        client.patch(path, json={"parameters": {}}).raise_for_status()
        raise how

    monkeypatch.setattr("flows.deployments._deploy_all", half_done)
    with temporary_settings({PREFECT_API_URL: runs.server.url}), pytest.raises(how):
        register_all(None)
    assert runs.deployment("grow-pool")["parameters"] == {"params": {"run_seed": 7}}
    client.patch(path, json={"parameters": {}}).raise_for_status()


def test_a_schedule_starts_a_run_at_its_time(runs, grown):
    path = f"/deployments/{runs.deployment('grow-pool')['id']}/schedules"
    often = {
        "active": True,
        "schedule": {"interval": 20, "anchor_date": datetime.now(UTC).isoformat()},
        "parameters": runs.grow("scheduled"),
    }
    (schedule,) = runs.server.client.post(path, json=[often]).json()

    def begun() -> dict | None:
        return next(
            (one for one in runs.runs_of("grow-pool")
             if one["auto_scheduled"] and one["state_type"] != "SCHEDULED"),
            None,
        )  # fmt: skip

    run = await_true("a scheduled run", begun, 240)
    runs.server.client.delete(f"{path}/{schedule['id']}").raise_for_status()
    ended = runs.ended(run["id"])
    assert ended["state_type"] == "COMPLETED", ended["state"]
    early = _moment(ended["expected_start_time"]) - _moment(ended["start_time"])
    assert early < timedelta(seconds=1)  # Prefect waits for whole seconds
    assert runs.manifest("scheduled") == runs.manifest("first")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_an_event_that_names_a_folder_starts_a_run_with_it(runs, grown):
    name = "grow-on-new-images"
    path = f"/deployments/{runs.deployment(name)['id']}"
    _announce(runs, "/data/too-early")
    (early,) = await_true("a run by the event", lambda: runs.runs_of(name), 240)
    failed = runs.ended(early["id"])
    assert failed["state_type"] == "FAILED"
    assert "growth" in failed["state"]["message"], "it says which parameter is still to be set"
    growth = {"growth": runs.growth("arrived")}
    runs.server.client.patch(path, json={"parameters": growth}).raise_for_status()
    _announce(runs, str(runs.plant))
    await_true("another run", lambda: len(runs.runs_of(name)) == 2, 240)
    (run,) = [one for one in runs.runs_of(name) if one["id"] != early["id"]]
    ended = runs.ended(run["id"])
    assert ended["state_type"] == "COMPLETED", ended["state"]
    assert ended["parameters"]["folder"] == str(runs.plant)
    assert runs.manifest("arrived") == runs.manifest("first")


def _announce(runs, folder: str) -> None:
    """Tell the server that a folder has arrived, as a camera's script would."""
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "poolstar.images.arrived",
        "resource": {"prefect.resource.id": "poolstar.line.3"},
        "payload": {"folder": folder},
    }
    runs.server.client.post("/events", json=[event]).raise_for_status()


def test_a_cancelled_run_ends_with_its_process_and_leaves_the_pool_whole(runs, grown):
    before = runs.manifest("first")
    more = runs.grow("first", run_seed=5, store=str(runs.home / "cancelled.store"))
    run_id = runs.start("grow-pool", more)
    await_true("its first stage", lambda: runs.stages(run_id)["ingest", "Completed"], 240)
    assert processes_of(run_id)
    runs.server.post(f"/flow_runs/{run_id}/set_state", state={"type": "CANCELLING"})
    ended = runs.ended(run_id)
    assert ended["state_name"] == "Cancelled", ended["state"]
    await_true("the end of its process", lambda: not processes_of(run_id), 240)
    assert Archive(str(runs.home / "first")).versions() == ["v1"]
    assert runs.manifest("first") == before


def test_a_stopped_run_waits_for_the_next_start_unless_it_was_being_cancelled(runs):
    flow = runs.server.post("/flows/", name="stopped")["id"]
    ids = {
        state: runs.server.post("/flow_runs/", flow_id=flow, state={"type": state})["id"]
        for state in ("RUNNING", "CANCELLING", "COMPLETED")
    }
    with temporary_settings({PREFECT_API_URL: runs.server.url}):
        names = put_back(set(ids.values()))
    assert names == [runs.run(ids["RUNNING"])["name"]]
    after = {before: runs.run(one)["state_name"] for before, one in ids.items()}
    assert after == {
        "RUNNING": "AwaitingRetry", "CANCELLING": "Cancelled", "COMPLETED": "Completed",
    }  # fmt: skip


def test_a_nightly_that_failed_three_times_is_paused_until_someone_looks(runs):
    path = f"/deployments/{runs.deployment('nightly')['id']}"
    night = {"trial": {"dataset": "line3.csv", "pool": "/pools/line3"}}
    for nth in range(1, 4):
        assert not runs.deployment("nightly")["paused"], f"before failure {nth}"
        run = runs.ended(runs.start("nightly", {"params": night}))
        assert run["state_type"] == "FAILED"
        assert "absolute" in run["state"]["message"]
    await_true("the pause", lambda: runs.deployment("nightly")["paused"], 120)
    runs.server.client.patch(path, json={"paused": False}).raise_for_status()
    assert not runs.deployment("nightly")["paused"]


def test_500_batches_are_mapped_without_losing_one(runs):
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "mapped_batches.py"], env=runs.server.env,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [index * index for index in range(500)]
    flow = {"name": {"any_": ["mapped-batches"]}}

    def recorded():
        counts = {
            state: runs.server.post(
                "/task_runs/count", flows=flow, task_runs={"state": {"type": {"any_": [state]}}}
            )
            for state in ("COMPLETED", "FAILED", "RUNNING", "PENDING", "CRASHED")
        }
        return counts["COMPLETED"] >= 500 and counts

    counts = await_true("all task runs on the server", recorded, 240)
    assert counts == {"COMPLETED": 500, "FAILED": 0, "RUNNING": 0, "PENDING": 0, "CRASHED": 0}
