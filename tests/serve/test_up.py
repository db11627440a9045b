"""poolstar up: starts and stops whole; what is wrong gets a line that says what to do."""

import json
import shutil
import signal
import socket
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import torch
from deployed_runs import Deployed, processes_of
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_stack import (
    ROOT,
    Stack,
    await_true,
    environment,
    free_port,
    is_open,
    running,
)

from flows.database_check import database
from flows.local_server import LocalServer
from flows.up_check import everything
from tasks.models.model_set import BUNDLED

pytestmark = pytest.mark.slow


def called(folder: Path, *words: str, **env: str):
    """The command line away from any server, in a process of its own."""
    return Stack("http://127.0.0.1", "", environment(folder, **env), folder).poolstar(*words)


def checked(folder: Path, port: int, models: str = "tiny", needs_gpu: bool = False, **changes):
    """What a check finds, by subject: whether it is wrong, and what it says."""
    settings = {"database": f"sqlite+aiosqlite:///{folder / 'home' / 'server.db'}", **changes}
    server = LocalServer(port=port, home=folder / "home", **settings)
    found = list(everything(server, [models], needs_gpu))
    assert not (folder / "home").exists(), "a check creates nothing"
    return {one.subject: (one.is_wrong, one.text) for one in found}


def is_wrong(found: dict[str, tuple[bool, str]], subject: str, *said: str) -> bool:
    """Whether this alone is wrong, in these words."""
    wrong = [one for one, (is_bad, _) in found.items() if is_bad]
    return wrong == [subject] and all(one in found[subject][1] for one in said)


def test_a_check_before_the_start_finds_nothing_wrong(tmp_path):
    words = ("--home", str(tmp_path / "home"), "--port", str(free_port()))
    done = called(tmp_path, "up", "--check", "--json", *words)
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == 0, found
    assert [one["subject"] for one in found] == ["port", "database", "disk", "gpu", "models"]
    assert not any(one["is_wrong"] for one in found)


def test_a_port_that_is_taken_is_told_and_nothing_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert is_wrong(checked(tmp_path, port), "port", str(port), "--port")
        done = called(tmp_path, "up", "--port", str(port), "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert f"cannot listen at 127.0.0.1:{port}" in done.stderr
    assert not (tmp_path / "home").exists()
    assert not is_wrong(checked(tmp_path, port), "port"), "it is free again"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_expected_and_not_there_is_told(tmp_path):
    assert is_wrong(checked(tmp_path, free_port(), needs_gpu=True), "gpu", "driver")


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    monkeypatch.setattr("flows.up_check.MIN_FREE_GB", free_gb + 1000)
    assert is_wrong(checked(tmp_path, free_port()), "disk", "--home")


def test_a_damaged_model_set_is_told(tmp_path):
    shutil.copytree(BUNDLED["tiny"], tmp_path / "set")
    weights = tmp_path / "set" / "segmenter" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    damaged = checked(tmp_path, free_port(), models=str(tmp_path / "set"))
    assert is_wrong(damaged, "models", "segmenter/model.safetensors")
    missing = checked(tmp_path, free_port(), models=str(tmp_path / "nowhere"))
    assert is_wrong(missing, "models", "nowhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace("long%20and", "short"), "password authentication failed"),
        (lambda url: url.replace("/postgres", "/nowhere"), '"nowhere" does not exist'),
        (lambda url: url.replace("+asyncpg", ""), "postgresql+asyncpg://USER"),
        (lambda url: f"postgresql+asyncpg://a:secret@127.0.0.1:{free_port()}/x", "running"),
        (lambda url: "no url at all", "no database URL"),
        (lambda url: "postgresql+asyncpg://a:secret@host:one/x", "no database URL"),
        (lambda url: "postgresql+asyncpg://a:very@secret@host/x", "%40"),
        (lambda url: f"{url}?sslmode=require&password=short", "sslmode"),
        (lambda url: f"{url}?ssl=require", "SSL"),
        (lambda url: "sqlite+aiosqlite://", "names no file"),
    ],
    ids=[
        "password",
        "name",
        "driver",
        "nobody",
        "text",
        "port",
        "two-at",
        "option",
        "tls",
        "memory",
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(server, change, said):
    assert not database(server.database).is_wrong
    found = database(change(server.database))
    assert found.is_wrong
    assert said in found.text
    assert not any(word in found.text for word in ("secret@", "%20secret", "short"))
    assert not database(f"{server.database}?ssl=prefer&prepared_statement_cache_size=0").is_wrong


def test_a_wrong_database_stops_the_start_with_a_line(server, tmp_path):
    url = server.database.replace("long%20and", "short")
    done = called(tmp_path, "up", "--port", str(free_port()), "--home", str(tmp_path / "home"),
                  PREFECT_API_DATABASE_CONNECTION_URL=url)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("poolstar: database: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_a_dead_server_is_told_and_leaves_no_half_pool(plant, tmp_path):
    dead = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    pool = tmp_path / "pool"
    done = called(
        tmp_path, "grow", str(plant), "--pool", str(pool), "--kind", "crack", **dead
    )  # fmt: skip
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert "`poolstar up`" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.glob("pool*")) == []


def test_a_check_looks_at_the_server_that_is_configured(tmp_path):
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        assert is_wrong(checked(tmp_path, free_port()), "server", "refused", "PREFECT_API_URL")


def test_a_running_server_without_its_deployments_is_told(server, tmp_path):
    port, path = httpx.URL(server.url).port, "/deployments/name/run-trial/run-trial"
    server.client.delete(f"/deployments/{server.get(path)['id']}").raise_for_status()
    found = checked(tmp_path, port, database=server.database)
    assert found["deployments"][0]
    assert "run-trial" in found["deployments"][1]
    assert "poolstar deploy" in found["deployments"][1]
    assert server.poolstar("deploy").returncode == 0
    assert not checked(tmp_path, port, database=server.database)["deployments"][0]


def test_up_stops_whole_and_its_next_start_takes_up_what_was_running(plant, tmp_path):
    """SIGTERM with a run in the middle, then a start that ends the run, then Ctrl-C; all of it
    behind a password."""
    port, home = free_port(), tmp_path / "home"
    command = [sys.executable, "-m", "flows.cli", "up", "--port", port, "--home", home]
    env = environment(
        tmp_path, PREFECT_WORKER_QUERY_SECONDS="1", PREFECT_SERVER_API_AUTH_STRING="line3:secret"
    )
    server = Stack(f"http://127.0.0.1:{port}/api", "", env, tmp_path)
    runs = Deployed(server, plant, tmp_path)
    with running(command, tmp_path / "up.log", env, cwd=ROOT) as up:
        _await_started(tmp_path / "up.log", up)
        assert _addresses(up, port) == {"127.0.0.1"}
        assert server.client.post("/deployments/filter", json={}).status_code == 401
        done = called(tmp_path, "deploy", PREFECT_API_URL=server.url)
        assert "refuses calls without PREFECT_API_AUTH_STRING" in done.stderr
        server.client.auth = ("line3", "secret")
        run_id = runs.start("grow-pool", runs.grow("pool"))
        await_true("some work", lambda: runs.stages(run_id)["ingest", "Completed"], 240)
        _stopped(up, signal.SIGTERM, port)
    assert not processes_of(run_id)
    assert "waits for the next start" in (tmp_path / "up.log").read_text()
    with running(command, tmp_path / "again.log", env, cwd=ROOT) as up:
        _await_started(tmp_path / "again.log", up)
        run = runs.ended(run_id, 400)
        assert run["state_type"] == "COMPLETED", run["state"]
        assert run["run_count"] == 2
        assert runs.stages(run_id)["ingest", "Cached"]
        _stopped(up, signal.SIGINT, port)
    assert runs.manifest("pool")
    assert "secret" not in "".join(one.read_text() for one in tmp_path.rglob("*.log"))


def _await_started(log: Path, up) -> None:
    def started() -> bool:
        assert up.poll() is None, log.read_text()
        return "stop it with Ctrl-C" in log.read_text()

    await_true("the start", started, 300)


def _addresses(up, port: int) -> set[str]:
    """Where the processes of `up` listen on the port."""
    family = psutil.Process(up.pid).children(recursive=True)
    sockets = [one for process in family for one in process.net_connections("inet")]
    return {one.laddr.ip for one in sockets if one.laddr.port == port and one.status == "LISTEN"}


def _stopped(up, how: signal.Signals, port: int) -> None:
    """Signal `up`, which ends as asked with all that it had started."""
    family = psutil.Process(up.pid).children(recursive=True)
    up.send_signal(how)
    assert up.wait(90) == 0
    assert not [one for one in family if one.is_running()]
    assert not is_open(port)
