"""The one decorator that makes a function a stage: cached by content, persisted, retried wisely."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.context import TaskRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel

from tasks.domain.errors import TransientError

P = ParamSpec("P")
R = TypeVar("R")

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
        """The key, 64 hex digits; an input that is not JSON is a TypeError, not a silent miss."""
        material = {"stage": self.stage, "version": self.algorithm_version, "inputs": inputs}
        text = json.dumps(material, sort_keys=True, default=_as_json)
        return hashlib.sha256(text.encode()).hexdigest()


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


def stage(
    *, version: int, run_name: str, tags: tuple[str, ...] = ()
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a stage.

    Args:
        version: the stage's algorithm version; raise it when results change for equal inputs.
        run_name: template over the parameters, shown in the Prefect UI.
        tags: concurrency tags, such as `gpu`.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            task_run_name=run_name,
            tags=list(tags),
            cache_policy=ContentPolicy(stage=function.__qualname__, algorithm_version=version),
            persist_result=True,
            result_serializer="json",
            retries=len(BACKOFF_S),
            retry_delay_seconds=BACKOFF_S,
            retry_condition_fn=is_transient,
        )(function)

    return decorate


def threads(workers: int) -> TaskRunner[Any]:
    """A runner of so many tasks at once on this machine; a subflow has its own."""
    return ThreadPoolTaskRunner(max_workers=workers)
