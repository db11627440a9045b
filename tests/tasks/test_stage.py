"""A metered stage: its result is its own, its cost stands beside it, keys know nothing of it."""

import uuid
from types import SimpleNamespace

import pytest

from tasks.domain.errors import BadInput
from tasks.domain.records import RunContext
from tasks.stage import ContentPolicy, metered, stage
from tasks.store.costs import asked_by, kept_cost
from tasks.store.files import ContentStore


@pytest.fixture
def context(tmp_path) -> RunContext:
    identity = ContentStore(str(tmp_path)).identity
    return RunContext(
        store_uri=str(tmp_path), store_identity=identity, models="tiny", models_fingerprint="f",
        device="cpu",
    )  # fmt: skip


def twice(number: int, context: RunContext) -> int:
    if number < 0:
        raise BadInput("negative")
    return 2 * number


def in_task(monkeypatch) -> SimpleNamespace:
    """As if Prefect ran the function."""
    run = SimpleNamespace(flow_run_id=uuid.uuid4(), id=uuid.uuid4())
    context = SimpleNamespace(task_run=run)
    monkeypatch.setattr("tasks.stage.TaskRunContext", SimpleNamespace(get=lambda: context))
    return context


def test_a_computed_result_leaves_its_cost_by_its_key(monkeypatch, context):
    task = in_task(monkeypatch)
    policy = ContentPolicy(stage="twice", algorithm_version=1)
    key = policy.compute_key(task, {"number": 3, "context": context}, {})
    assert metered(twice)(3, context) == 6
    cost = kept_cost(context.store_uri, key)
    assert (cost.stage, cost.share_s >= 0) == ("twice", True)
    (asked,) = asked_by(context.store_uri, str(task.task_run.flow_run_id))
    assert (asked.cost, asked.key, asked.stage) == (cost, key, "twice")


def test_a_result_from_the_cache_was_asked_for_and_not_paid(monkeypatch, context):
    task = in_task(monkeypatch)
    ContentPolicy(stage="twice").compute_key(task, {"number": 3, "context": context}, {})
    (asked,) = asked_by(context.store_uri, str(task.task_run.flow_run_id))
    assert asked.cost is None
    assert kept_cost(context.store_uri, asked.key) is None


def test_keys_depend_on_inputs_alone(monkeypatch, context):
    policy = ContentPolicy(stage="twice", algorithm_version=1)
    keys = {
        policy.compute_key(in_task(monkeypatch), {"number": n, "context": context}, {})
        for n in (3, 3, 4)
    }
    assert len(keys) == 2


def test_a_failure_stays_what_it_is_and_leaves_no_cost(monkeypatch, context):
    task = in_task(monkeypatch)
    key = ContentPolicy(stage="twice").compute_key(task, {"number": -1, "context": context}, {})
    with pytest.raises(BadInput, match="negative"):
        metered(twice)(-1, context)
    assert kept_cost(context.store_uri, key) is None
    (asked,) = asked_by(context.store_uri, str(task.task_run.flow_run_id))
    assert asked.cost is None


def test_outside_a_flow_nothing_is_written(context):
    assert metered(twice)(3, context) == 6
    assert not list(ContentStore(context.store_uri)._root.rglob("known/*"))


def test_a_stage_takes_a_place_at_the_gpu_where_there_is_one(monkeypatch):
    needing, other = (
        stage(version=1, run_name="twice", needs_gpu=needs)(twice) for needs in (True, False)
    )
    for device, tags in (("cpu", set()), ("cuda", {"gpu"})):
        monkeypatch.setattr("tasks.stage.resolve_device", lambda name, device=device: device)
        assert needing.tags == tags
        assert other.tags == set()
