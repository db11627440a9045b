"""500 batches mapped through a server: prints the results' count, sum and distinct values."""

import json

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.terminal import quiet_prefect
from tasks.stage import stage

BATCHES = 500


@stage(version=1, run_name="batch {index}")
def square_batch(index: int) -> int:
    """What one batch gives back."""
    return index * index


@flow(name="mapped-batches", task_runner=ThreadPoolTaskRunner(max_workers=8))
def mapped_batches() -> list[int]:
    """Every batch, mapped."""
    return square_batch.map(range(BATCHES)).result()


if __name__ == "__main__":
    quiet_prefect()
    found = mapped_batches()
    print(json.dumps(found))
