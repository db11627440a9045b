"""The commands of docker/compose.yaml at work: Postgres, Redis, server, services, worker, a run."""

import shutil
import time
from pathlib import Path

import compose_stack
import httpx
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    if shutil.which("redis-server") is None:
        compose_stack.missing("Redis")
    env_file = compose_stack.secrets(tmp_path_factory.mktemp("secrets"))
    resolved = compose_stack.resolved(compose_stack.COMPOSE, compose_stack.CPU, env_file=env_file)
    # The object store is SeaweedFS in its own image, which cannot be had here.
    del resolved["services"]["worker"]["depends_on"]["store"]
    running = compose_stack.Stack(resolved, {"PREFECT_LOGGING_LEVEL": "WARNING"})
    try:
        running.start("worker")
        running.wait_healthy("worker")
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def api(stack):
    word = stack.environment("worker")["PREFECT_API_AUTH_STRING"]
    auth = tuple(word.split(":"))
    with httpx.Client(base_url=f"{stack.url}/api", auth=auth, timeout=30) as client:
        yield client


def test_the_server_answers_no_call_without_the_password(stack, api):
    question = {"json": {"limit": 1}}
    bare = f"{stack.url}/api/flows/filter"
    assert httpx.post(bare, **question).status_code == 401
    assert httpx.post(bare, auth=("poolstar", "guess"), **question).status_code == 401
    assert api.post("/flows/filter", **question).status_code == 200
    assert httpx.get(f"{stack.url}/api/health").json() is True, "health is open to probes"


def test_the_one_shot_service_has_registered_pool_deployments_and_automations(api):
    assert api.get("/work_pools/gpu").json()["concurrency_limit"] == 1
    deployed = {one["name"] for one in api.post("/deployments/filter", json={}).json()}
    assert {"grow-pool", "run-trial", "nightly", "grow-on-new-images"} <= deployed
    automations = {one["name"] for one in api.post("/automations/filter", json={}).json()}
    assert "poolstar-lost-run" in automations


def test_a_run_goes_through_the_worker_and_the_services_record_its_tasks(stack, api):
    parts = stack.home / "worker/parts"
    flow = api.post("/flows/", json={"name": "simulate-factory"}).json()["id"]
    deployment = api.post(
        "/deployments/",
        json={
            "name": "parts",
            "flow_id": flow,
            "work_pool_name": "gpu",
            "entrypoint": "flows.simulate_factory.simulate_factory",
            "pull_steps": [],
        },
    ).json()["id"]
    params = {"out": str(parts), "ok": 6, "ko": 0, "batch_size": 3}
    created = api.post(
        f"/deployments/{deployment}/create_flow_run", json={"parameters": {"params": params}}
    ).json()["id"]

    run = waited(lambda: api.get(f"/flow_runs/{created}").json(), stack)
    assert run["state"]["type"] == "COMPLETED", (run["state"], stack.log("worker"))
    assert len(list((parts / "ok").iterdir())) == 6
    assert (parts / "ok").stat().st_uid == Path(f"/proc/{stack.pid('worker')}").stat().st_uid

    # Task runs reach the database by one way only: worker, server, Redis, services.
    question = {"flow_runs": {"id": {"any_": [created]}}}
    tasks = waited(
        lambda: {"state": {"type": _slowest(api.post("/task_runs/filter", json=question).json())}},
        stack,
    )
    assert tasks["state"]["type"] == "COMPLETED"


def test_no_process_of_the_image_runs_as_root_or_may_write_the_installation(stack):
    for name in ("server", "services", "worker", "redis"):
        status = Path(f"/proc/{stack.pid(name)}/status").read_text()
        assert "NoNewPrivs:\t1" in status, name
        assert "Uid:\t0" not in status, name


def test_the_services_are_unhealthy_once_they_are_gone_and_healthy_when_started_again(stack):
    assert stack.health("services").returncode == 0
    stack.kill("services")
    deadline = time.monotonic() + 60
    while (said := stack.health("services")).returncode == 0:
        assert time.monotonic() < deadline, "health check still passes without services"
        time.sleep(1)
    assert "no background service has been seen" in said.stderr
    del stack._running["services"]
    stack.start("services")
    stack.wait_healthy("services")


def test_an_unhealthy_server_and_worker_say_why(stack):
    stack.kill("worker")
    said = stack.health("worker")
    assert said.returncode == 1
    assert "unhealthy: URLError" in said.stderr


def _slowest(task_runs: list[dict]) -> str:
    kinds = {one["state_type"] for one in task_runs}
    return "COMPLETED" if kinds == {"COMPLETED"} and len(task_runs) == 2 else "RUNNING"


def waited(look, stack, deadline_s: float = 120) -> dict:
    """What `look` returns once its state is final."""
    end = time.monotonic() + deadline_s
    while (seen := look())["state"]["type"] in {"SCHEDULED", "PENDING", "RUNNING"}:
        assert time.monotonic() < end, (seen["state"], stack.log("worker"), stack.log("services"))
        time.sleep(0.5)
    return seen
