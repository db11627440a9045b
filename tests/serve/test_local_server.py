"""The processes of poolstar up, without a server: none is left behind, each sees its device."""

import sys
from contextlib import contextmanager

import httpx
import pytest
import torch

from flows import local_server
from flows.local_server import LocalServer
from flows.processes import start

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def server(tmp_path) -> LocalServer:
    return LocalServer(home=tmp_path, database="sqlite+aiosqlite://")


@contextmanager
def sleeping(server: LocalServer, **env: str):
    """A process with the environment of those of `server`, in the end gone."""
    child = start("sleeper", SLEEP, server.home, {**server.environment(), **env})
    try:
        yield child
    finally:
        child.process.kill()
        child.process.wait()


def test_a_run_whose_worker_has_died_is_stopped_and_one_of_another_worker_is_not(server):
    run = {"PREFECT__FLOW_RUN_ID": "3e5b1f9e-7f36-4a86-a6a5-0d5c8e7f4f10"}
    with sleeping(server) as api, sleeping(server) as worker:
        pass
    with sleeping(server, **run) as orphan, sleeping(server, **run, POOLSTAR_UP="0") as other:
        local_server._stop_all(server, [api, worker])
        assert not orphan.is_alive
        assert other.is_alive


def test_a_worker_is_stopped_where_the_next_cannot_start(server, monkeypatch):
    started = []

    def start_one(name, command, home, env):
        if name == "worker-1":
            raise OSError("no more processes")
        started.append(start(name, SLEEP, home, env))
        return started[-1]

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(local_server, "start", start_one)
    monkeypatch.setattr(local_server, "_answers", lambda url: True)
    monkeypatch.setattr(local_server, "_register", lambda server: None)
    with pytest.raises(OSError, match="no more"):
        local_server.serve(server)
    assert [one.name for one in started] == ["server", "worker-0"]
    assert not any(one.is_alive for one in started)


@pytest.mark.parametrize(
    ("visible", "seen"),
    [(None, ["0", "1"]), ("2, 5", ["2", "5"]), ("GPU-a,GPU-b,-1", ["GPU-a", "GPU-b"])],
)
def test_each_worker_sees_one_of_the_devices_that_the_user_lets_us_see(
    server, monkeypatch, visible, seen
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(local_server, "start", lambda name, command, home, env: env)
    workers = local_server._started_workers(server)
    assert [env["CUDA_VISIBLE_DEVICES"] for env in workers] == seen


@pytest.mark.parametrize(
    ("host", "reached"),
    [("::1", "[::1]"), ("::", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")],
)
def test_the_address_of_a_server_can_be_called(server, host, reached):
    url = server.model_copy(update={"host": host}).url
    assert url == f"http://{reached}:4200/api"
    assert httpx.URL(url).port == 4200
