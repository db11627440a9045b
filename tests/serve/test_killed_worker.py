"""A worker killed with its run: the server notices, and another worker goes on from the cache."""

import pytest
from deployed_runs import processes_of
from prefect_stack import await_true

from tasks.store.archive import Archive

pytestmark = pytest.mark.slow
PATIENCE_S = 40  # a little more than the shortest interval of heartbeats that Prefect allows


def test_a_killed_worker_loses_no_work(server, runs, grown):
    """SIGKILL to worker and run: no sign of life, crashed, scheduled, taken up, the same pool."""
    _shorten_patience(server)
    fresh = runs.grow("killed", store=str(runs.home / "killed.store"))
    with server.worker("doomed") as doomed:
        run_id = runs.start("grow-pool", fresh)
        await_true("some work", lambda: runs.stages(run_id)["segment", "Completed"] >= 2, 240)
        for one in processes_of(run_id):
            one.kill()
        doomed.kill()
        doomed.wait()
    computed = {stage for stage, state in runs.stages(run_id) if state == "Completed"}
    assert Archive(str(runs.home / "killed")).versions() == []
    assert runs.run(run_id)["state_type"] == "RUNNING", "nobody is left to tell the server"
    with server.worker("heir"):
        run = await_true("its completion", lambda: _completed(runs, run_id), 500)
    assert run["run_count"] == 2
    states = runs.stages(run_id)
    assert all(states[stage, "Cached"] for stage in computed & {"ingest", "segment"}), states
    assert runs.manifest("killed") == runs.manifest("first")


def _completed(runs, run_id: str) -> dict | None:
    """The run once it is complete; on the way there it is crashed, and waits."""
    run = runs.run(run_id)
    assert run["state_type"] not in {"FAILED", "CANCELLED"}, run["state"]
    return run if run["state_type"] == "COMPLETED" else None


def _shorten_patience(server) -> None:
    """The automation as it is registered, but for its three minutes."""
    (lost,) = [
        one for one in server.post("/automations/filter") if one["name"] == "poolstar-lost-run"
    ]
    assert lost["trigger"]["within"] == 180
    lost["trigger"]["within"] = PATIENCE_S
    body = {key: lost[key] for key in ("name", "description", "enabled", "trigger", "actions")}
    server.client.put(f"/automations/{lost['id']}", json=body).raise_for_status()
