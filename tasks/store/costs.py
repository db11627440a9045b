"""What results cost: each by its cache key, and by the task run that asked for it.

The notes lie in the store, since the processes that compute share nothing else.
"""

import hashlib
from collections.abc import Iterator

from tasks.domain.energy import StageCost
from tasks.domain.records import Record
from tasks.store.files import ContentStore, write_whole
from tasks.store.remote import contents, is_remote, place, reaching


class Asked(Record):
    """A result that a run asked for: stage, cache key and time; its cost if it was computed."""

    stage: str
    key: str
    at_s: float
    cost: StageCost | None = None


def keep_cost(store_uri: str, key: str, cost: StageCost) -> None:
    """Keep the cost of a result; the first one stays."""
    ContentStore(store_uri).remember(_place(key), cost.model_dump_json().encode())


def kept_cost(store_uri: str, key: str) -> StageCost | None:
    """The cost of a result when it was computed, or None where nobody wrote it down."""
    data = ContentStore(store_uri).recall(_place(key))
    return None if data is None else StageCost.model_validate_json(data)


def note_asked(store_uri: str, run: str, task_run: str, asked: Asked) -> None:
    """A run is about to compute a result, or to take it from the cache."""
    write_whole(_note(store_uri, run, task_run), asked.model_dump_json().encode())


def note_cost(store_uri: str, run: str, task_run: str, cost: StageCost) -> str | None:
    """It was computed, at this cost; the key it was asked for by, or None where nobody asked."""
    try:
        with reaching(store_uri):
            text = contents(place(_note(store_uri, run, task_run)))
    except FileNotFoundError:
        return None
    asked = Asked.model_validate_json(text)
    note_asked(store_uri, run, task_run, asked.model_copy(update={"cost": cost}))
    return asked.key


def asked_by(store_uri: str, run: str) -> list[Asked]:
    """All that a run has asked for, in that order, each key once; computed before reused."""
    notes = sorted(
        (Asked.model_validate_json(text) for text in _notes(store_uri, run)),
        key=lambda one: (one.cost is None, one.at_s),
    )
    first = {one.key: one for one in reversed(notes)}
    return sorted(first.values(), key=lambda one: one.at_s)


def _notes(store_uri: str, run: str) -> Iterator[bytes]:
    folder = place(f"{store_uri}/runs/{run}")
    with reaching(store_uri):
        if is_remote(store_uri):
            found = folder.fs.find(folder.path)
            yield from (folder.fs.cat(found) if found else {}).values()
        elif folder.exists():
            yield from (path.read_bytes() for path in folder.glob("*.json"))


def _note(store_uri: str, run: str, task_run: str) -> str:
    return f"{store_uri}/runs/{run}/{task_run}.json"


def _place(key: str) -> str:
    return hashlib.sha256(f"cost {key}".encode()).hexdigest()
