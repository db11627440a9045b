"""Two worker processes against one, a thread each: the same pool, and how much sooner."""

import time
from pathlib import Path

import pytest

from flows.grow_pool import grow_pool
from flows.simulate_factory import simulate_factory
from tasks.domain.parameters import FactoryParams, GrowParams, PromptSpec, RunnerParams
from tasks.factory.captions import PROMPTS
from tasks.store.costs import Asked

pytestmark = pytest.mark.bench
STAGES = ("segment_batch", "describe_batch", "inpaint_batch", "measure_batch")


@pytest.fixture(scope="module")
def images(tmp_path_factory, prefect_server) -> Path:
    folder = tmp_path_factory.mktemp("plant") / "images"
    simulate_factory(FactoryParams(out=str(folder), ok=60, ko=20))
    return folder


def grown(images: Path, home: Path, workers: int, kind: str) -> tuple[str, float, float]:
    """Manifest, seconds of the flow, and seconds in which mapped stages ran."""
    params = GrowParams(
        images=str(images), pool=str(home / "pool"), max_rounds=1, batch_size=4, device="cpu",
        prompts=tuple(
            PromptSpec(kind=kind, prompt=PROMPTS[kind], target=16) for kind in ("crack", "porosity")
        ),
        workers=workers, runner=RunnerParams(kind=kind),
    )  # fmt: skip
    started = time.perf_counter()
    manifest = grow_pool(params).manifest
    seconds = time.perf_counter() - started
    return manifest, seconds, sum(span_s(home / "pool.store", stage) for stage in STAGES)


def span_s(store: Path, stage: str) -> float:
    """From the first start of a stage to its last end."""
    notes = (Asked.model_validate_json(one.read_bytes()) for one in store.glob("runs/*/*.json"))
    costs = [one.cost for one in notes if one.stage == stage and one.cost is not None]
    return max(c.ended_s for c in costs) - min(c.ended_s - c.seconds for c in costs)


def test_two_dask_processes_against_one(record, images, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = grown(images, tmp_path / "one", 1, "dask")
    two = grown(images, tmp_path / "two", 2, "dask")
    record(
        "two_processes", ours=two[2], theirs=one[2], ratio=one[2] / two[2], unit="s of stages",
        flow_ratio=one[1] / two[1], flow_one_s=one[1], flow_two_s=two[1],
        limited_by="each process loads its own models; batches do not divide evenly",
    )  # fmt: skip
    assert one[0] == two[0]
    assert one[2] / two[2] > 1.7
