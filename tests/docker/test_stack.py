"""The commands of docker/compose.yaml at work: Postgres, Redis, server, services, worker, a run."""

import shutil
import subprocess
import sys
from pathlib import Path

import compose_stack
import httpx
import object_store
import pytest
from prefect_stack import await_true

pytestmark = pytest.mark.slow
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
POOL = "s3://plant/line3"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """The stack with another S3 than its own, which lies in an image that cannot be had here."""
    if shutil.which("redis-server") is None:
        compose_stack.missing("Redis")
    store = object_store.ObjectStore()
    store.bucket("plant")
    env_file = compose_stack.secrets(tmp_path_factory.mktemp("secrets"))
    with env_file.open("a") as lines:
        lines.write(f"S3_ENDPOINT_URL={store.url}\nS3_REGION={object_store.REGION}\n")
        lines.write(f"S3_ACCESS_KEY={object_store.KEY}\n")
    resolved = compose_stack.resolved(compose_stack.COMPOSE, compose_stack.CPU, env_file=env_file)
    del resolved["services"]["worker"]["depends_on"]["store"]
    running = compose_stack.Stack(resolved)
    try:
        running.start("worker")
        running.wait_healthy("worker")
        yield running
    finally:
        running.close()
        store.close()


@pytest.fixture(scope="module")
def api(stack):
    word = stack.environment("worker")["PREFECT_API_AUTH_STRING"]
    auth = tuple(word.split(":"))
    with httpx.Client(base_url=f"{stack.url}/api", auth=auth, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def rendered(stack, api):
    """The finished run of a deployed flow that renders parts, and where they lie."""
    parts = stack.home / "worker/parts"
    flow = api.post("/flows/", json={"name": "simulate-factory"}).json()["id"]
    deployment = {
        "name": "parts",
        "flow_id": flow,
        "work_pool_name": "gpu",
        "entrypoint": "flows.simulate_factory.simulate_factory",
        "pull_steps": [],
    }
    made = api.post("/deployments/", json=deployment).json()["id"]
    params = {"out": str(parts), "ok": 16, "ko": 12, "batch_size": 14}
    return finished(stack, api, made, params), parts


def finished(stack, api, deployment: str, params: dict) -> dict:
    """A run of a deployment, started as the UI does, once it has ended well."""
    asked = api.post(
        f"/deployments/{deployment}/create_flow_run", json={"parameters": {"params": params}}
    )
    assert asked.status_code == 201, asked.text

    def look() -> dict | None:
        run = api.get(f"/flow_runs/{asked.json()['id']}").json()
        return run if run["state"]["type"] in FINAL else None

    run = await_true(f"a run of {deployment}", look, seconds=300)
    assert run["state"]["type"] == "COMPLETED", (run["state"], stack.log("worker"))
    return run


def test_the_server_answers_no_call_without_the_password(stack, api):
    question = {"json": {"limit": 1}}
    bare = f"{stack.url}/api/flows/filter"
    assert httpx.post(bare, **question).status_code == 401
    assert httpx.post(bare, auth=("poolstar", "guess"), **question).status_code == 401
    assert api.post("/flows/filter", **question).status_code == 200
    assert httpx.get(f"{stack.url}/api/health").json() is True, "health is open to probes"


def test_the_pages_are_served_from_a_folder_that_the_user_may_write(stack):
    page = httpx.get(f"{stack.url}/", follow_redirects=True)
    assert page.status_code == 200
    assert "<title>Prefect" in page.text
    said = httpx.get(f"{stack.url}/ui-settings").json()
    assert said["api_url"] == f"{stack.url}/api"


def test_the_one_shot_service_has_registered_pool_deployments_and_automations(api):
    assert api.get("/work_pools/gpu").json()["concurrency_limit"] == 1
    deployed = {one["name"] for one in api.post("/deployments/filter", json={}).json()}
    assert {"grow-pool", "run-trial", "nightly", "grow-on-new-images"} <= deployed
    automations = {one["name"] for one in api.post("/automations/filter", json={}).json()}
    assert "poolstar-lost-run" in automations


def test_a_run_goes_through_the_worker_and_the_services_record_its_tasks(stack, api, rendered):
    run, parts = rendered
    assert len(list((parts / "ok").iterdir())) == 16
    assert parts.stat().st_uid == Path(f"/proc/{stack.pid('worker')}").stat().st_uid

    # Task runs reach the database by one way only: worker, server, Redis, services.
    question = {"flow_runs": {"id": {"any_": [run["id"]]}}}

    def recorded() -> bool:
        states = [one["state_type"] for one in api.post("/task_runs/filter", json=question).json()]
        return states.count("COMPLETED") == 3  # one lists the parts, two render a batch

    await_true("three completed task runs", recorded)


def test_a_pool_grows_on_the_object_store_of_the_environment(stack, api, rendered):
    grow = api.get("/deployments/name/grow-pool/grow-pool").json()["id"]
    params = {
        "images": str(rendered[1]),
        "pool": POOL,
        "prompts": [{"kind": "porosity", "prompt": "a cluster of pores", "target": 2}],
        "max_rounds": 1,
    }
    finished(stack, api, grow, params)
    verified = subprocess.run(
        [sys.executable, "-m", "flows.cli", "pool", "verify", "--pool", POOL],
        env=stack.environment("worker"), cwd=stack.home,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_no_process_of_the_image_runs_as_root_or_may_write_the_installation(stack):
    for name in ("server", "services", "worker", "redis"):
        status = Path(f"/proc/{stack.pid(name)}/status").read_text()
        assert "NoNewPrivs:\t1" in status, name
        assert "Uid:\t0" not in status, name


def test_the_services_are_unhealthy_once_they_are_gone_and_healthy_when_started_again(stack):
    assert stack.health("services").returncode == 0
    stack.kill("services")

    def failed() -> object:
        return found if (found := stack.health("services")).returncode else None

    said = await_true("the health check of killed services fails", failed)
    assert "no background service has been seen" in said.stderr
    stack.start("services")
    stack.wait_healthy("services")


def test_a_dead_worker_is_unhealthy_and_says_why(stack):
    stack.kill("worker")
    said = stack.health("worker")
    assert said.returncode == 1
    assert "unhealthy: URLError" in said.stderr
