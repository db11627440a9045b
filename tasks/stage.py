"""The one decorator that makes a function a stage: cached, persisted, retried wisely, metered."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.context import TaskRunContext
from pydantic import BaseModel

from tasks.domain.errors import TransientError
from tasks.domain.records import RunContext
from tasks.meter import meter_for, whereabouts
from tasks.models.device import resolve_device
from tasks.store.costs import Asked, keep_cost, note_asked, note_cost
from tasks.store.files import ContentStore

P = ParamSpec("P")
R = TypeVar("R")

GPU = "gpu"
BACKOFF_S = [2.0, 10.0, 60.0]


@dataclass
class ContentPolicy(CachePolicy):
    """Cache key = stage name + its algorithm version + the canonical JSON of its inputs.

    Inputs are records and refs, which carry content hashes; a store's identity travels in its
    own record. Neither the run id nor the wrapper's source enters, so nightly runs hit.
    """

    stage: str = ""
    algorithm_version: int = 0

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str:
        """The key, 64 hex digits; an input that is not JSON is a TypeError, not a silent miss.

        Every run asks for its results here, computed or not: its store takes note.
        """
        material = {"stage": self.stage, "version": self.algorithm_version, "inputs": inputs}
        text = json.dumps(material, sort_keys=True, default=_as_json)
        key = hashlib.sha256(text.encode()).hexdigest()
        if (context := _context_of(inputs.values())) is not None:
            run, asked = task_ctx.task_run, Asked(stage=self.stage, key=key, at_s=time.time())
            note_asked(context.store_uri, str(run.flow_run_id), str(run.id), asked)
        return key


def _as_json(value: Any) -> Any:
    """The JSON form of a record; anything else is refused."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"Expected a record or a plain value as stage input, but got {type(value)}")


def is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether time may heal the failure: only a TransientError, or a crash of the worker."""
    if state.type == StateType.CRASHED:
        return True
    error = state.result(raise_on_failure=False)
    return isinstance(error, TransientError)


RETRIED: dict[str, Any] = {
    "retries": len(BACKOFF_S),
    "retry_delay_seconds": BACKOFF_S,
    "retry_condition_fn": is_transient,
}


def metered(function: Callable[P, R]) -> Callable[P, R]:
    """The function, its cost kept beside its result when it runs in a flow and is told where.

    The cost enters neither inputs nor result: keys and manifests know nothing of it.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        task_context = TaskRunContext.get()
        context = _context_of((*args, *kwargs.values()))
        if task_context is None or context is None:
            return function(*args, **kwargs)
        _require_store(context.store_uri, context.store_identity)
        meter = meter_for(resolve_device(context.device))
        running = meter.start(function.__qualname__)
        try:
            result = function(*args, **kwargs)
        finally:
            cost = meter.stop(running).model_copy(update=whereabouts())
        task_run = task_context.task_run
        key = note_cost(context.store_uri, str(task_run.flow_run_id), str(task_run.id), cost)
        if key is not None:
            keep_cost(context.store_uri, key, cost)
        return result

    return run


@lru_cache(maxsize=8)
def _require_store(uri: str, identity: str) -> None:
    """Look once a process whether this machine has the run's store."""
    ContentStore(uri).require_identity(identity)


def _context_of(arguments: Iterable[Any]) -> RunContext | None:
    return next((one for one in arguments if isinstance(one, RunContext)), None)


class Stage(Task[P, R]):
    """A task that another process finds by its name; its code is never sent there.

    One that needs a GPU is tagged `gpu` where there is one, so that a limit on the tag holds. Where
    there is none no limit is asked for: of a server on SQLite that takes up to 2 s a task run.
    """

    needs_gpu: bool = False

    @property
    def tags(self) -> set[str]:
        """What its runs are tagged with on this machine."""
        is_on_gpu = self.needs_gpu and resolve_device("auto") == "cuda"
        return self._given_tags | ({GPU} if is_on_gpu else set())

    @tags.setter
    def tags(self, given: set[str]) -> None:
        self._given_tags = given

    def __reduce__(self) -> tuple[Callable[[str, str], Any], tuple[str, str]]:
        return _named, (self.fn.__module__, self.fn.__qualname__)


def _named(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def stage(
    *, version: int, run_name: str, needs_gpu: bool = False
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a stage.

    Args:
        version: the stage's algorithm version; raise it when results change for equal inputs.
        run_name: template over the parameters, shown in the Prefect UI.
        needs_gpu: whether it runs models, on a GPU where there is one.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        made = Stage(
            metered(function),
            task_run_name=run_name,
            cache_policy=ContentPolicy(stage=function.__qualname__, algorithm_version=version),
            persist_result=True,
            result_serializer="json",
            **RETRIED,
        )
        made.needs_gpu = needs_gpu
        return made

    return decorate
