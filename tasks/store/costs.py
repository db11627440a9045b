"""What the results in a store cost when they were computed, each by its cache key."""

import hashlib

from tasks.domain.energy import StageCost
from tasks.store.files import ContentStore


def keep_cost(store_uri: str, key: str, cost: StageCost) -> None:
    """Keep the cost of a result; the first one stays."""
    ContentStore(store_uri).remember(_place(key), cost.model_dump_json().encode())


def kept_cost(store_uri: str, key: str) -> StageCost | None:
    """The cost of a result when it was computed, or None where nobody wrote it down."""
    data = ContentStore(store_uri).recall(_place(key))
    return None if data is None else StageCost.model_validate_json(data)


def _place(key: str) -> str:
    return hashlib.sha256(f"cost {key}".encode()).hexdigest()
