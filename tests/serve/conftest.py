"""One server on PostgreSQL and Redis for all tests here, with a worker and a small plant."""

import shutil
import tempfile
from pathlib import Path

import pytest
from deployed_runs import Deployed
from prefect_stack import require_debian, stack

from tasks.domain.parameters import FactoryParams
from tasks.factory.render import TRAINED_KINDS
from tasks.render import list_parts, render_batch


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server, everything registered on it by `poolstar deploy`; no worker yet."""
    require_debian()
    owned = Path(tempfile.mkdtemp(prefix="poolstar-postgres-"))  # pytest's own are root's alone
    try:
        with stack(tmp_path_factory.mktemp("server"), owned) as one:
            done = one.poolstar("deploy")
            assert done.returncode == 0, done.stderr
            yield one
    finally:
        shutil.rmtree(owned, ignore_errors=True)


@pytest.fixture(scope="session")
def plant(tmp_path_factory) -> Path:
    """12 sound and 6 defective parts, rendered without a flow."""
    folder = tmp_path_factory.mktemp("parts") / "images"
    params = FactoryParams(out=str(folder), ok=12, ko=6, kinds=TRAINED_KINDS)
    render_batch.fn(list_parts(params), params)
    return folder


@pytest.fixture(scope="session")
def runs(server, plant, tmp_path_factory) -> Deployed:
    """Runs of the deployments; a worker takes them where a test asks for one."""
    return Deployed(server, plant, tmp_path_factory.mktemp("pools"))


@pytest.fixture(scope="session")
def grown(server, runs) -> dict:
    """A run per prompt, to its end: the pool `first`."""
    with server.worker("first"):
        run = runs.ended(runs.start("grow-pool", runs.grow("first")))
    assert run["state_type"] == "COMPLETED", run["state"]
    return run


@pytest.fixture(scope="module")
def worker(server):
    """A worker for the module's runs."""
    with server.worker("worker") as process:
        yield process
