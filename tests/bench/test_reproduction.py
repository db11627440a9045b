"""A hundred random rows painted again from the record alone, bit for bit."""

import time
from collections import Counter

import pytest
from small_run import small_run

from flows.grow_pool import grow_pool
from flows.simulate_factory import simulate_factory
from tasks.domain.parameters import FactoryParams, PromptSpec
from tasks.factory.captions import PROMPTS
from tasks.factory.render import TRAINED_KINDS
from tasks.reproduce import reproduce, sampled_ids

pytestmark = pytest.mark.bench
ROWS = 100


def test_a_hundred_random_rows_come_again_bit_for_bit(record, prefect_server, tmp_path):
    images = tmp_path / "images"
    simulate_factory(FactoryParams(out=str(images), ok=40, ko=12))
    prompts = tuple(PromptSpec(kind=k, prompt=PROMPTS[k], target=12) for k in TRAINED_KINDS)
    params = small_run(images, tmp_path).model_copy(update={"prompts": prompts})
    grow_pool(params)
    ids = sampled_ids(params.pool, None, ROWS, rejected=True)
    started = time.monotonic()
    found = list(reproduce(params.pool, None, ids))
    states = Counter(one.state for one in found)
    tables = Counter(one.table for one in found)
    record(
        "reproduced", value=states["equal"], unit=f"of {ROWS} random rows, bit for bit",
        tables=dict(tables), seconds=time.monotonic() - started,
    )  # fmt: skip
    assert states == {"equal": ROWS}
