"""Notes of what was asked for and paid, which all processes of a run leave in its store."""

from tasks.domain.energy import StageCost
from tasks.store.costs import Asked, asked_by, note_asked, note_cost

COST = StageCost(stage="inpaint", seconds=1, share_s=1, joules={})


def ask(store: str, task_run: str, key: str, at_s: float, run: str = "run") -> None:
    note_asked(store, run, task_run, Asked(stage="inpaint", key=key, at_s=at_s))


def test_computed_is_told_from_reused_and_runs_from_each_other(tmp_path):
    store = str(tmp_path)
    ask(store, "t2", "k2", 2.0)
    ask(store, "t1", "k1", 1.0)
    ask(store, "t1", "k9", 1.0, run="another")
    assert note_cost(store, "run", "t1", COST) == "k1"
    assert note_cost(store, "run", "unknown", COST) is None
    assert [(one.key, one.cost) for one in asked_by(store, "run")] == [("k1", COST), ("k2", None)]
    assert [one.key for one in asked_by(store, "another")] == ["k9"]
    assert asked_by(store, "nobody") == []


def test_what_a_run_computed_and_asked_for_again_was_computed(tmp_path):
    store = str(tmp_path)
    ask(store, "t1", "k", 1.0)
    assert note_cost(store, "run", "t1", COST) == "k"
    ask(store, "t2", "k", 2.0)
    (asked,) = asked_by(store, "run")
    assert asked.cost == COST


def test_the_notes_can_lie_on_s3(bucket):
    assert asked_by(f"{bucket}/store", "run") == []
    ask(f"{bucket}/store", "t1", "k1", 1.0)
    assert note_cost(f"{bucket}/store", "run", "t1", COST) == "k1"
    (asked,) = asked_by(f"{bucket}/store", "run")
    assert asked.cost == COST
