"""What may keep `poolstar up` from working: one finding a line, each with what to do."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx

from flows.database_check import database, nearest
from flows.findings import Finding, fine, wrong
from flows.local_server import LocalServer
from flows.server import configured_server, require_server, speaking_to
from tasks.domain.errors import PoolstarError

MIN_FREE_GB = 5.0
CONNECT_S = 10.0


def before_start(server: LocalServer) -> Iterator[Finding]:
    """What must be in order before anything starts."""
    yield _port(server)
    yield database(server.database)
    yield disk(server.home)


def everything(server: LocalServer, models: list[str], needs_gpu: bool) -> Iterator[Finding]:
    """All that can be told from outside, whether the server runs or not."""
    is_up = _is_prefect(server.url)
    yield fine("server", f"runs at {server.url}") if is_up else _port(server)
    if not is_up:
        yield from _configured(server)
    yield database(server.database)
    yield disk(server.home)
    yield _gpu(needs_gpu)
    yield from (_model_set(name) for name in models)
    if is_up:
        with speaking_to(server.url):
            yield from _registered(server.url)


def _is_prefect(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=CONNECT_S).text == "true"
    except httpx.HTTPError:
        return False


def _port(server: LocalServer) -> Finding:
    """Whether the server could listen where it is told to."""
    if _is_prefect(server.url):
        return wrong("port", f"a Prefect server runs at {server.url} already; --port names another")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
    except OSError as exc:
        return wrong(
            "port",
            f"cannot listen at {server.host}:{server.port} ({exc.strerror or exc}); stop what "
            "does, or choose another with --port or --host",
        )
    return fine("port", f"{server.host}:{server.port} is free: no server runs there")


def _configured(server: LocalServer) -> Iterator[Finding]:
    """The server of PREFECT_API_URL, where one is named that is not this one."""
    url = configured_server()
    if url is None or url == server.url:
        return
    try:
        require_server(url)
    except PoolstarError as exc:
        yield wrong("server", str(exc))
    else:
        yield fine("server", f"runs at {url}, as PREFECT_API_URL says")


def disk(home: Path) -> Finding:
    """Room for logs, database and results."""
    there = nearest(home)
    free_gb = shutil.disk_usage(there).free / 1e9
    if free_gb < MIN_FREE_GB:
        return wrong(
            "disk", f"{free_gb:.1f} GB free at {there}, expected {MIN_FREE_GB:.0f}; free some, or "
            "name another --home",
        )  # fmt: skip
    return fine("disk", f"{free_gb:.0f} GB free at {there}")


def _gpu(is_needed: bool) -> Finding:
    """Whether torch sees CUDA where it is needed, or where a driver is installed."""
    import torch

    count = torch.cuda.device_count()
    if count:
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
        return fine("gpu", f"{count}: {names}")
    if Path("/proc/driver/nvidia").exists():
        return wrong(
            "gpu", f"an NVIDIA driver is loaded, but torch {torch.__version__} sees no device; "
            "install torch for the driver's CUDA, and give a container its GPU (--gpus all)",
        )  # fmt: skip
    if is_needed:
        return wrong("gpu", "none, but --gpu asks for one; install its driver (see nvidia-smi)")
    return fine("gpu", "none: models run on the CPU")


def _model_set(name: str) -> Finding:
    """Whether a model set is there and every file as it was recorded."""
    from tasks.models.model_set import damaged_files, open_model_set

    try:
        problems = damaged_files(open_model_set(name))
    except PoolstarError as exc:
        return wrong("models", str(exc))
    if problems:
        return wrong("models", f"{name}: {'; '.join(problems)}; fetch or build the set again")
    return fine("models", f"{name}: every file as it was recorded")


def _registered(url: str) -> Iterator[Finding]:
    """Whether a running server lets us in, knows pool and deployments, and has a worker."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.deployments import WORK_POOL, missing_deployments

    try:
        require_server(url)
    except PoolstarError as exc:
        yield wrong("password", str(exc))
        return
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_work_pool(WORK_POOL)
        except ObjectNotFound:
            yield wrong("work pool", f"the server has no pool {WORK_POOL}; run `poolstar deploy`")
            return
        if pool.is_paused:
            yield wrong("work pool", f"{WORK_POOL} is paused; resume it in the UI")
        workers = client.read_workers_for_work_pool(WORK_POOL)
        online = [one.name for one in workers if one.status == "ONLINE"]
        missing = missing_deployments(client)
    if online:
        yield fine("workers", ", ".join(online))
    else:
        yield wrong("workers", f"none; start one: prefect worker start --pool {WORK_POOL}")
    if missing:
        yield wrong("deployments", f"{', '.join(missing)} missing; run `poolstar deploy`")
    else:
        yield fine("deployments", "all there")
