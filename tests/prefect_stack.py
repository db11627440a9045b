"""A Prefect server as a team runs it: PostgreSQL, Redis, the API and its services, a worker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[1]
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
REDIS = shutil.which("redis-server")
PASSWORD = "long and secret"


def require_debian(*, browser: bool = False) -> None:
    """Skip, visibly, where the programs are absent; `.ci/run` installs them."""
    wanted = {"postgresql": POSTGRES, "redis-server": REDIS}
    if browser:
        wanted["chromium-driver"] = shutil.which("chromedriver")
    if absent := [name for name, found in wanted.items() if not found]:
        pytest.skip(f"apt-get install {' '.join(absent)}")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def await_true(what: str, happens, seconds: float = 240, every: float = 0.3):
    """Poll until `happens()` is true; what it returned then."""
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(every)
    return found


@contextmanager
def running(command, log: Path, env=None, **options) -> Iterator[subprocess.Popen]:
    """A process in a session of its own; at its end asked first, then killed with its children."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, env=env, start_new_session=True, **options,
        )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen, how: int = signal.SIGTERM, patience: float = 20) -> None:
    """Signal a process and wait for it and its children; what stays is killed."""
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for one in family:
        if one.is_running():
            one.kill()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A new cluster on a free loopback port; its URL with user and password."""
    data, port = folder / "data", free_port()
    (folder / "password").write_text(PASSWORD)
    owner = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
        shutil.chown(folder / "password", "postgres", "postgres")
    binaries = POSTGRES[-1].parent
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "poolstar", "--pwfile", folder / "password",
         "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"],
        check=True, capture_output=True, cwd=folder, **owner,
    )  # fmt: skip
    command = [binaries / "postgres", "-D", data, "-p", port, "-k", folder, "-c", "fsync=off"]
    command += ["-c", "listen_addresses=127.0.0.1"]
    with running(command, folder.parent / f"postgres-{port}.log", cwd=folder, **owner) as process:
        ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        await_true("PostgreSQL", lambda: not subprocess.call(ready, stdout=subprocess.DEVNULL))
        assert process.poll() is None
        secret = PASSWORD.replace(" ", "%20")
        yield f"postgresql+asyncpg://poolstar:{secret}@127.0.0.1:{port}/postgres"


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A Redis that keeps nothing; its port."""
    port = free_port()
    command = [REDIS, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with running(command, folder / "redis.log"):
        await_true("Redis", lambda: is_open(port))
        yield port


def is_open(port: int) -> bool:
    """Whether something listens on the loopback port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Stack:
    """A running server; `env` is what its processes and clients are told."""

    url: str
    database: str
    env: dict[str, str]
    folder: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def post(self, path: str, **body):
        """What the API answers to a POST, as the UI sends it."""
        answer = self.client.post(path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def get(self, path: str):
        """What the API answers to a GET."""
        answer = self.client.get(path)
        answer.raise_for_status()
        return answer.json()

    def worker(self, name: str):
        """A process worker of the pool `gpu`, as a context."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu"]
        command += ["--type", "process", "--name", name, "--limit", "1"]
        return running(command, self.folder / f"{name}.log", self.env, cwd=self.folder)

    def poolstar(self, *words: str, **env: str) -> subprocess.CompletedProcess:
        """The command line in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *words], cwd=ROOT, env={**self.env, **env},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip


def environment(folder: Path, **more: str) -> dict[str, str]:
    """An environment with its own Prefect home, where the code of this checkout is found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "POOLSTAR_SD15": "",
        **more,
    }


@contextmanager
def stack(folder: Path, postgres_folder: Path) -> Iterator[Stack]:
    """API and background services apart, on PostgreSQL, with Redis between them."""
    with ExitStack() as exits:
        database = exits.enter_context(postgres(postgres_folder))
        broker = f"redis://127.0.0.1:{exits.enter_context(redis(folder))}"
        port = free_port()
        url = f"http://127.0.0.1:{port}/api"
        env = environment(
            folder,
            PREFECT_API_URL=url,
            PREFECT_SERVER_DATABASE_CONNECTION_URL=database,
            PREFECT_MESSAGING_BROKER="prefect_redis.messaging",
            PREFECT_MESSAGING_CACHE="prefect_redis.messaging",
            PREFECT_SERVER_EVENTS_CAUSAL_ORDERING="prefect_redis.ordering",
            PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE="prefect_redis.lease_storage",
            PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE="prefect_redis.cleanup_queue",
            PREFECT_REDIS_MESSAGING_URL=f"{broker}/0",
            PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL=f"{broker}/0",
            PREFECT_SERVER_DOCKET_URL=f"{broker}/1",
            PREFECT_WORKER_QUERY_SECONDS="1",
            PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT="false",
            PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY="PT2S",
        )
        prefect = [sys.executable, "-m", "prefect", "server"]
        api = [*prefect, "start", "--host", "127.0.0.1", "--port", port, "--no-services"]
        exits.enter_context(running(api, folder / "api.log", env, cwd=folder))
        await_true("the API", lambda: _is_healthy(url), 300)
        services = [*prefect, "services", "start"]
        exits.enter_context(running(services, folder / "services.log", env, cwd=folder))
        yield Stack(url, database, env, folder)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).text == "true"
    except httpx.HTTPError:
        return False
