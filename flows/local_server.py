"""A Prefect server, its work pool, deployments and workers on this machine, until told to stop."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

from flows.deployments import WORK_POOL, put_back, register_all
from flows.processes import Child, flow_run_processes, start, stop, stop_all
from flows.server import own_secret, speaking_to
from flows.terminal import say
from tasks.domain.errors import PoolstarError
from tasks.domain.records import Record

START_S = 180.0
POLL_S = 0.5


class LocalServer(Record):
    """Where the server listens and keeps its database; `home` also holds the logs."""

    host: str = "127.0.0.1"
    port: int = 4200
    home: Path
    database: str
    limit: int | None = None

    @property
    def url(self) -> str:
        """The API's address as this machine's own processes reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/api"

    def mark(self) -> dict[str, str]:
        """What stands in the environment of all that is started here, and of nothing else."""
        return {"PREFECT_API_URL": self.url, "POOLSTAR_UP": str(os.getpid())}

    def environment(self) -> dict[str, str]:
        """What server and workers are told: no analytics, this database, this API."""
        secret = own_secret()
        names = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")
        return {
            **os.environ,
            **self.mark(),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.database,
            "PREFECT_API_DATABASE_CONNECTION_URL": self.database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_UI_API_URL": "/api",
            "DO_NOT_TRACK": "1",
            **(dict.fromkeys(names, secret) if secret else {}),
        }


class Stopped(Exception):
    """Someone asked the server to stop."""


def serve(server: LocalServer) -> None:
    """Start everything, say where it is, and wait; a signal stops it, workers first.

    Raises:
        PoolstarError: a process could not be started, or died by itself.
    """
    children: list[Child] = []
    with _signals_as_stop():
        try:
            children.append(_started_server(server))
            _register(server)
            for worker in _started_workers(server):
                children.append(worker)
            say(f"stop it with Ctrl-C; logs: {server.home}/*.log")
            _watch(children)
        except Stopped:
            say("stopping: workers first, then the server")
        finally:
            _stop_all(server, children)


@contextmanager
def _signals_as_stop() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Stopped, once; later ones are ignored while stopping."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop_now(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped

    before = {one: signal.signal(one, stop_now) for one in numbers}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _started_server(server: LocalServer) -> Child:
    """The server, answering."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", server.host]
    command += ["--port", str(server.port), "--analytics-off"]
    child = start("server", command, server.home, server.environment())
    deadline = time.monotonic() + START_S
    try:
        while not _answers(server.url):
            if not child.is_alive or time.monotonic() > deadline:
                raise PoolstarError(
                    f"Expected a Prefect server at {server.url}, but it "
                    f"{'does not answer' if child.is_alive else 'ended'}; `poolstar up --check` "
                    f"tells more, {child.log} all:\n{child.last_words()}"
                )
            time.sleep(POLL_S)
    except BaseException:
        stop(child)
        raise
    return child


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _register(server: LocalServer) -> None:
    with speaking_to(server.url):
        done = register_all(server.limit)
    say(f"server       {server.url.removesuffix('/api')}")
    say(f"work pool    {done.work_pool}, {done.limit} at once")
    say(f"deployments  {', '.join(done.deployments)}")


def _started_workers(server: LocalServer) -> Iterator[Child]:
    """One worker a CUDA device, which it alone sees; on a CPU one worker for all runs.

    Each is handed out as it starts, so that it is stopped where a later one cannot start.
    """
    import torch

    devices = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(devices)]
    for index in range(max(1, devices)):
        name = f"{socket.gethostname()}-{index}"
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", WORK_POOL]
        command += ["--type", "process", "--name", name]
        env = server.environment()
        if devices:
            command += ["--limit", "1"]
            env["CUDA_VISIBLE_DEVICES"] = names[index].strip()
        yield start(f"worker-{index}", command, server.home, env)


def _watch(children: list[Child]) -> None:
    """Wait until a signal comes, or a process dies."""
    while True:
        for child in children:
            if not child.is_alive:
                raise PoolstarError(
                    f"The {child.name} ended by itself ({child.process.returncode}); all of it "
                    f"stops. {child.log} ends:\n{child.last_words()}"
                )
        time.sleep(POLL_S)


def _stop_all(server: LocalServer, children: list[Child]) -> None:
    """Workers and their runs first, then the server once those runs are back in line."""
    busy = flow_run_processes(server.mark())
    for worker in children[1:]:
        stop(worker)
    stop_all([one for one in busy if one.is_running()])
    try:
        if busy and children[0].is_alive:
            with speaking_to(server.url):
                for name in put_back(set(busy.values())):
                    say(f"waits for the next start, what it had computed is kept: {name}")
    finally:
        for child in children[:1]:
            stop(child)
