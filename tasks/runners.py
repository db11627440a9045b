"""Where a flow's tasks run: threads of this process, or the processes of a Dask or Ray cluster.

Tasks exchange refs only, so the processes must share the store, the images and the models: one
machine, a mounted folder, or s3:// for the store. What each process computes stays bit for bit
the same; what it used is noted in the store (`tasks.store.costs`).
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

from prefect import Task
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.domain.errors import BadParameters, TransientError
from tasks.domain.parameters import RunnerParams
from tasks.store.remote import is_remote

PLACES = ("images", "dataset", "candidates", "pool", "store")  # what all machines must reach


class Runnable(Protocol):
    """Parameters that say where a flow's tasks run."""

    @property
    def runner(self) -> RunnerParams:
        """Threads here, or a cluster."""

    @property
    def workers(self) -> int:
        """Tasks at once on this machine."""


P = TypeVar("P", bound=Runnable)
R = TypeVar("R")


def on_its_runner(function: Callable[[P], R]) -> Callable[[P], R]:
    """The body of a flow, its tasks mapped where its parameters say."""

    @wraps(function)
    def run(params: P) -> R:
        require_shared(params.runner, **{name: getattr(params, name, None) for name in PLACES})
        with running_on(params.runner, params.workers):
            return function(params)

    return run


@contextmanager
def running_on(runner: RunnerParams, workers: int) -> Iterator[None]:
    """Inside a flow: map its tasks onto the runner asked for, whoever has started the flow.

    Raises:
        BadParameters: the package for the runner is missing, or other machines have no Prefect
            server to report to.
        TransientError: no cluster answers at the address.
    """
    flow = FlowRunContext.get()
    if flow is None:
        raise BadParameters("Expected to be called in a flow, but there is none")
    require_server(runner)
    server = str(getattr(flow.client, "api_url", ""))  # which other processes report to as well
    with (
        ExitStack() as stack,
        temporary_settings({PREFECT_API_URL: server} if runner.kind != "threads" else {}),
    ):
        chosen = _started(task_runner(runner, workers), runner, stack)
        stack.enter_context(flow.model_copy(update={"task_runner": chosen}))
        yield


def require_server(runner: RunnerParams) -> None:
    """Refuse a cluster elsewhere without a standing Prefect server.

    Raises:
        BadParameters: there is none.
    """
    if runner.address is not None and not PREFECT_API_URL.value():
        raise BadParameters(
            f"Expected a Prefect server that the machines of {runner.address} report to, but none "
            "is set; start one (`prefect server start`) and set PREFECT_API_URL, here and there"
        )


def _started(chosen: TaskRunner[Any], runner: RunnerParams, stack: ExitStack) -> TaskRunner[Any]:
    """The runner, connected to its cluster until the stack is closed."""
    try:
        stack.enter_context(chosen)
        getattr(chosen, "client", None)  # Dask connects when it is first asked
    except (OSError, RuntimeError, ValueError) as exc:
        raise TransientError(
            f"Expected a {runner.kind} cluster at {runner.address or 'this machine'}, but: {exc}; "
            "start it, or name another address"
        ) from exc
    return chosen


def task_runner(runner: RunnerParams, workers: int) -> TaskRunner[Any]:
    """A runner of so many tasks at once, or of as many as a cluster elsewhere has room for."""
    if runner.kind == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    package = {"dask": "prefect_dask", "ray": "prefect_ray"}[runner.kind]
    if importlib.util.find_spec(package) is None:
        raise BadParameters(
            f"Expected the packages for the runner {runner.kind}, but they are not installed; run: "
            f"pip install 'poolstar[{runner.kind}]'"
        )
    return (_dask if runner.kind == "dask" else _ray)(runner, workers)


def require_shared(runner: RunnerParams, **places: str | None) -> None:
    """Refuse places that other machines cannot find by the same name.

    Raises:
        BadParameters: a relative path beside a cluster's address.
    """
    if runner.address is None:
        return
    for name, text in places.items():
        if text and not is_remote(text) and not Path(text).expanduser().is_absolute():
            raise BadParameters(
                f"Expected {name} by an absolute path, or an s3:// URI, that all machines of "
                f"{runner.address} reach, but got {text!r}; put it on a shared folder"
            )


def _dask(runner: RunnerParams, workers: int) -> TaskRunner[Any]:
    """Workers of a cluster elsewhere, or so many processes of one task each here."""
    import dask
    from prefect_dask import DaskTaskRunner

    class Tagged(DaskTaskRunner):
        def submit(self, task: Task[..., Any], *args: Any, **named: Any) -> Any:
            with _asking(task, runner, lambda gpus: dask.annotate(resources={"GPU": gpus})):
                return super().submit(task, *args, **named)

    if runner.address is not None:
        return Tagged(address=runner.address)
    threads = os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // workers)
    return Tagged(
        cluster_kwargs={
            "n_workers": workers,
            "threads_per_worker": 1,  # models are used by one thread at a time
            "memory_limit": 0,
            "dashboard_address": None,
            "silence_logs": logging.ERROR,
            "env": {"OMP_NUM_THREADS": str(threads)},
        }
    )


def _ray(runner: RunnerParams, workers: int) -> TaskRunner[Any]:
    """As `_dask`, on Ray, which gives a task one core and so one thread."""
    from prefect_ray import RayTaskRunner
    from prefect_ray.context import remote_options

    class Tagged(RayTaskRunner):
        def submit(self, task: Task[..., Any], *args: Any, **named: Any) -> Any:
            with _asking(task, runner, lambda gpus: remote_options(num_gpus=gpus)):
                return super().submit(task, *args, **named)

    if runner.address is not None:
        return Tagged(address=runner.address)
    return Tagged(
        init_kwargs={
            "num_cpus": workers,
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
    )


def _asking(task: Task[..., Any], runner: RunnerParams, ask: Any) -> AbstractContextManager[Any]:
    """The cluster's way of asking for GPUs, for tasks that need them."""
    asked: AbstractContextManager[Any] = nullcontext()
    if runner.gpus and getattr(task, "needs_gpu", False):
        asked = ask(runner.gpus)
    return asked
