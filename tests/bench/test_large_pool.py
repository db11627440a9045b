"""A pool of 100,000 made-up small images: landing, listing, diff, verify, show and forget, timed.

Each measurement runs in a process of its own, so that its peak resident memory is its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
ROWS, REJECTED, SOURCES, SIDE_BYTES = 100_000, 20_000, 500, 2_000

GROW = """
import sys
import numpy as np
from tasks.store.archive import Archive
from tasks.store.rows import PoolRow, RejectedRow
sys.path.insert(0, sys.argv[2])
from landed import columns, run_row, source_row

def rows(kind, count, first, **more):
    rng = np.random.default_rng(first)
    for i in range(first, first + count):
        vector = rng.standard_normal(512).astype(np.float32)
        yield kind(**columns(f"{i:032x}", source_id=f"{i % SOURCES:064x}",
            image=rng.bytes(SIDE_BYTES), mask=rng.bytes(200), bead_mask=rng.bytes(200),
            embedding=vector, embedding_image=vector, s_i=float(rng.random()), **more))

ROWS, REJECTED, SOURCES, SIDE_BYTES = (int(one) for one in sys.argv[3:])
look = np.eye(512, dtype=np.float32)[0]
sources = [source_row(f"{i:064x}", bytes=bytes([i % 256]) * 5000, embedding=look)
           for i in range(SOURCES)]
archive = Archive(sys.argv[1])
for run, first in (("r1", 0), ("r2", ROWS // 2)):
    archive.land(run_row(run, archive.latest()), pool=rows(PoolRow, ROWS // 2, first, run_id=run),
        rejected=rows(RejectedRow, REJECTED // 2, 10 * ROWS + first, stage="useful",
                      reasons=("no novelty",), run_id=run),
        sources=sources, embedding_dim=512)
"""

MEASURE = """
import json, resource, sys, time
from tasks.domain.version_diff import version_difference
from tasks.store.archive import Archive
archive = Archive(sys.argv[1])
before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
started, cpu = time.perf_counter(), time.process_time()
found = eval(sys.argv[2])
print(json.dumps({
    "seconds": round(time.perf_counter() - started, 2),
    "cpu_seconds": round(time.process_time() - cpu, 2),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    "before_mb": round(before_mb), "found": found,
}))
"""

ASKED = {
    "list, best 50": "len(archive.list_rows(limit=50))",
    "diff v1 v2": "len(version_difference(archive.standings('v1'), archive.standings('v2')).added)",
    "show by prefix": f"len(archive.versions_of(archive.image_id('{ROWS - 1:032x}')))",
    "verify": "archive.verify().problems",
    "forget a source": f"len(archive.forget('{7:064x}').withdrawn['pool'])",
    "verify v1 after": "archive.verify('v1').problems",
}
EXPECTED = {
    "list, best 50": 50, "diff v1 v2": (ROWS + REJECTED) // 2, "show by prefix": 1, "verify": [],
    "forget a source": ROWS // SOURCES, "verify v1 after": [],
}  # fmt: skip
LIMIT_S = {"verify": 120, "verify v1 after": 120, "forget a source": 240}


def run(code: str, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    uri = tmp_path_factory.mktemp("large") / "pool"
    run(GROW, uri, Path(__file__).parents[1], ROWS, REJECTED, SOURCES, SIDE_BYTES)
    return uri


@pytest.mark.parametrize("name", [*ASKED])
def test_a_large_pool_answers_in_seconds_within_bounded_memory(large, record, name):
    figure = json.loads(run(MEASURE, large, ASKED[name]))
    assert figure.pop("found") == EXPECTED[name]
    record(f"100,000 rows: {name}", **figure)
    assert figure["cpu_seconds"] < LIMIT_S.get(name, 60)
    assert figure["peak_mb"] - figure["before_mb"] < 1500
