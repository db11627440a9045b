"""The whole of grow_pool on full-size `sd15` (random weights) on this CPU: time, memory, images.

About 10 minutes on two free cores. POOLSTAR_BENCH names a folder to keep the set in; with random
weights every gate may refuse everything, and the bench asks that it be refused with its reasons.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from full_size_run import SIZE_PX, write_photographs
from full_size_set import write_model_set

from tasks.domain.parameters import GrowParams, PromptSpec, SegmentParams
from tasks.store.archive import Archive
from tasks.store.images import decoded_png

pytestmark = pytest.mark.bench

TARGET, PHOTOGRAPHS = 3, 4
PEAK_LIMIT_GB = 12.0
RUN = Path(__file__).parents[1] / "full_size_run.py"


@pytest.fixture(scope="module")
def full_set(tmp_path_factory) -> Path:
    folder = os.environ.get("POOLSTAR_BENCH")
    place = Path(folder) / "sd15" if folder else tmp_path_factory.mktemp("sd15")
    return place if (place / "model_set.json").is_file() else write_model_set(place)


def _run(params: GrowParams) -> dict:
    done = subprocess.run(
        [sys.executable, RUN, params.model_dump_json()],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_grow_pool_runs_at_full_size_within_12_gb(full_set, tmp_path, record):
    images = write_photographs(tmp_path / "photographs", PHOTOGRAPHS)
    if images is None:
        pytest.skip("the photographs of welds are not beside the project")
    params = GrowParams(
        images=str(images), pool=str(tmp_path / "pool"), models=str(full_set), device="cpu",
        prompts=(PromptSpec(kind="rust", prompt="rust on the weld bead", target=TARGET),),
        segment=SegmentParams(surface="whole"), max_rounds=1,
    )  # fmt: skip
    told = _run(params)
    for name, figures in _by_stage(told["stages"]).items():
        record(f"full size: {name}", **figures)
    archive, version = Archive(params.pool), told["result"]["version"]
    rows = [
        row
        for table in ("pool", "rejected")
        for row in archive._read(table, version, None).to_pylist()
    ]
    made = [row for row in rows if row["image"] is not None]
    record("full size: run", seconds=told["result"]["seconds"], candidates=len(made))
    assert len(made) >= 4
    assert {decoded_png(row["image"]).shape[:2] for row in made} == {SIZE_PX[::-1]}
    assert all(row["reasons"] for row in rows if "reasons" in row)
    assert max(one["peak_gb"] for one in told["stages"]) <= PEAK_LIMIT_GB
    assert archive.verify().ok


def _by_stage(stages: list[dict]) -> dict[str, dict[str, float]]:
    """Seconds in all and the highest peak of each stage."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"seconds": 0.0, "peak_gb": 0.0})
    for one in stages:
        figures = found[one["stage"]]
        figures["seconds"] = round(figures["seconds"] + one["seconds"], 1)
        figures["peak_gb"] = round(max(figures["peak_gb"], one["peak_gb"]), 2)
    return dict(found)
