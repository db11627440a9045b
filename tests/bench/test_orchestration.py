"""What Prefect's orchestration costs: a run of the demo's plant against its bare stages.

The bare run is the same flow body with every stage called as the plain function it wraps, one
after the other, in one process, nothing cached, nothing told to a server. Each run has a thread of
its own, which ends with it: OpenMP's threads stay with the thread that first needed them, and while
more of them are waiting than there are cores, all of them wake more slowly. About six minutes.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from unittest.mock import patch

import pytest
from machine import Watch, watched
from prefect import Task, unmapped
from prefect.testing.utilities import prefect_test_harness

from flows.grow_pool import grow_pool
from flows.simulate_factory import simulate_factory
from tasks.domain.parameters import FactoryParams, GrowParams, PromptSpec
from tasks.factory.captions import PROMPTS
from tasks.factory.render import TRAINED_KINDS

pytestmark = pytest.mark.bench
SILENT = (
    "tasks.report.create_markdown_artifact", "tasks.report.create_table_artifact",
    "tasks.report.create_progress_artifact", "tasks.watch.create_table_artifact",
    "tasks.watch.emit_event",
)  # fmt: skip


class Done(list):
    """What a mapped stage gave, as its futures would tell it."""

    def result(self) -> list:
        return list(self)


def called_one_by_one(stage: Task, *lists: list, **named: object) -> Done:
    """`stage.map` without Prefect: the plain function, called for each."""
    fixed = {key: one.value for key, one in named.items() if isinstance(one, unmapped)}
    fixed |= {key: one for key, one in named.items() if key not in fixed}
    return Done(stage.fn(*each, **fixed) for each in zip(*lists, strict=True))


@contextmanager
def bare() -> Iterator[None]:
    """Stages are plain functions, and nobody is told, while the block runs."""
    logger = logging.getLogger("bare")
    patches = [patch(name) for name in SILENT]
    patches += [patch(f"{place}.get_run_logger", lambda: logger)
                for place in ("flows.grow_pool", "flows.landing", "tasks.watch")]  # fmt: skip
    patches += [
        patch.object(Task, "map", called_one_by_one),
        patch.object(Task, "__call__", lambda stage, *args, **named: stage.fn(*args, **named)),
    ]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def watched_run(run: Callable[[GrowParams], object], params: GrowParams) -> tuple[Watch, str]:
    with watched() as watch, ThreadPoolExecutor(1) as thread:
        result = thread.submit(copy_context().run, run, params).result()
    return watch, result.manifest


def parameters(plant: Path, home: Path, target: int = 4) -> GrowParams:
    return GrowParams(
        images=str(plant), pool=str(home / "pool"), max_rounds=2, device="cpu",
        prompts=tuple(PromptSpec(kind=k, prompt=PROMPTS[k], target=target) for k in TRAINED_KINDS),
    )  # fmt: skip


def test_orchestration_is_a_small_share_of_a_run(tmp_path, record):
    started = time.perf_counter()
    body = grow_pool.fn.__wrapped__  # without the runner, which only a flow has
    with prefect_test_harness(server_startup_timeout=240):
        start_up = time.perf_counter() - started
        plant = tmp_path / "images"
        simulate_factory(FactoryParams(out=str(plant)))
        with bare():  # models are loaded and warm before anything is timed
            watched_run(body, parameters(plant, tmp_path / "warm", target=1))
        with bare():
            plain, manifest = watched_run(body, parameters(plant, tmp_path / "bare"))
        alone, one_worker = watched_run(grow_pool, parameters(plant, tmp_path / "one"))
        params = parameters(plant, tmp_path / "two").model_copy(update={"workers": 2})
        several, many_workers = watched_run(grow_pool, params)
    seconds = {"bare": plain.seconds, "one_worker": alone.seconds, "two_workers": several.seconds}
    record(
        "orchestration", ours=alone.seconds, theirs=plain.seconds, unit="s",
        ratio=alone.seconds / plain.seconds, share=1 - plain.seconds / alone.seconds,
        share_with_two_workers=1 - plain.seconds / several.seconds,
        share_with_start_up=1 - plain.seconds / (alone.seconds + start_up), start_up_s=start_up,
        cpu_share=1 - plain.cpu_s / alone.cpu_s, seconds=seconds,
        others_share_of_cores=[plain.others, alone.others, several.others],
        limit="the stages themselves; a server that is not standing costs its start-up",
    )  # fmt: skip
    assert one_worker == many_workers == manifest
