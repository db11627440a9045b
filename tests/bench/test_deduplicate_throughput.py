"""A thousand candidates against a million rows: ours, a loop of LanceDB searches, plain numpy.

Each measurement runs in a process of its own, so that its peak resident memory is its own. About
four minutes and 2.1 GB of disk; POOLSTAR_BENCH_ROWS sets another number of rows.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

pytestmark = pytest.mark.bench
ROWS, CANDIDATES, WIDTH = int(os.environ.get("POOLSTAR_BENCH_ROWS", "1000000")), 1_000, 512
PLANTED, SEARCHED, AT_ONCE = 100, 20, 10_000
MAX_COSINE, MAX_GROWTH_MB = 0.995, 2_000

COMMON = """
import json, sys, time
import lancedb, numpy as np
from tasks.domain.deduplicate import duplicate_clusters, pool_matches
from tasks.store.archive import Archive
uri, candidates, max_cosine = sys.argv[1], np.load(sys.argv[2]), float(sys.argv[3])
candidates @ candidates.T  # the library's threads are there
def peak_mb():  # of this process alone; getrusage's begins at its parent's
    [line] = [one for one in open("/proc/self/status") if one.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
before_mb, started, cpu = peak_mb(), time.perf_counter(), time.process_time()
"""

TOLD = """
print(json.dumps({"seconds": time.perf_counter() - started,
                  "cpu_s": time.process_time() - cpu, "growth_mb": peak_mb() - before_mb,
                  "found": found, "cosine": [float(c) for c in cosine]}))
"""

OURS = """
matches = pool_matches(candidates, Archive(uri).embeddings("v1"), max_cosine)
is_new = np.array([one is None for one in matches.duplicate_of])
new = candidates[is_new]
clusters = duplicate_clusters(new, np.arange(len(new), 0, -1), max_cosine)
found, cosine = list(matches.duplicate_of), matches.cosine
"""

SEARCH = """
table = lancedb.connect(uri).open_table("pool")
found, cosine = [], []
for row in candidates[: int(sys.argv[4])]:
    [hit] = table.search(row).distance_type("cosine").select(["id"]).limit(1).to_list()
    cosine.append(1 - hit["_distance"])
    found.append(hit["id"] if cosine[-1] > max_cosine else None)
"""

NUMPY = """
table = lancedb.connect(uri).open_table("pool").to_arrow()
pool = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
products = candidates @ pool.T
nearest = products.argmax(axis=1)
cosine = products.max(axis=1)
found = [table["id"][int(i)].as_py() if c > max_cosine else None for i, c in zip(nearest, cosine)]
"""


def unit_rows(rng: np.random.Generator, count: int) -> np.ndarray:
    rows = rng.standard_normal((count, WIDTH), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pool_batches(seed: int, planted: dict[int, np.ndarray]) -> Iterator[pa.RecordBatch]:
    """The pool's rows; the planted ones stand at their places."""
    for start in range(0, ROWS, AT_ONCE):
        rows = unit_rows(np.random.default_rng([seed, start]), AT_ONCE)
        for place in planted.keys() & set(range(start, start + AT_ONCE)):
            rows[place - start] = planted[place]
        ids = [f"{i:032x}" for i in range(start, start + AT_ONCE)]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), WIDTH)
        yield pa.RecordBatch.from_arrays([pa.array(ids), vectors], names=["id", "embedding"])


@pytest.fixture(scope="module")
def million(tmp_path_factory) -> Iterator[tuple[Path, Path, list[str | None]]]:
    """The pool, the candidates' file, and the pool row that each candidate resembles, or None.

    Of every ten candidates one resembles a row: by a cosine of .9960, or of .9945, which is less
    than the limit.
    """
    folder = tmp_path_factory.mktemp("million")
    rng = np.random.default_rng(0)
    candidates = unit_rows(rng, CANDIDATES)
    places = rng.choice(ROWS, PLANTED, replace=False)
    planted, expected = {}, [None] * CANDIDATES
    for one, place in enumerate(places):
        row = candidates[10 * one]
        aside = unit_rows(rng, 1)[0]
        aside -= (aside @ row) * row
        cosine = 0.9960 if one % 2 == 0 else 0.9945
        planted[int(place)] = cosine * row + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)
        expected[10 * one] = f"{place:032x}" if one % 2 == 0 else None
    np.save(folder / "candidates.npy", candidates)
    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), WIDTH))])
    table = lancedb.connect(folder / "pool").create_table(
        "pool", pool_batches(1, planted), schema=schema
    )
    table.tags.create("v1", table.version)
    return folder / "pool", folder / "candidates.npy", expected


def measured(code: str, *words: object) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", COMMON + code + TOLD, *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_streamed_duplicates_against_searches_and_numpy(million, record):
    pool, candidates, expected = million
    ours = measured(OURS, pool, candidates, MAX_COSINE)
    numpy = measured(NUMPY, pool, candidates, MAX_COSINE)
    search = measured(SEARCH, pool, candidates, MAX_COSINE, SEARCHED)
    rate = CANDIDATES / ours["seconds"]
    gflops = 2 * CANDIDATES * ROWS * WIDTH / ours["seconds"] / 1e9
    limit = f"the matrix product ({gflops:.0f} GFLOP/s reached, reading from disk included)"
    memory = {"ours_growth_mb": ours["growth_mb"], "theirs_growth_mb": numpy["growth_mb"]}
    record(
        "dedup_vs_search", ours=rate, theirs=SEARCHED / search["seconds"],
        ratio=rate * search["seconds"] / SEARCHED, unit="candidates/s", rows=ROWS,
        cpu_ratio=CANDIDATES / SEARCHED * search["cpu_s"] / ours["cpu_s"], searched=SEARCHED,
        ours_growth_mb=ours["growth_mb"], limit=limit,
    )  # fmt: skip
    record(
        "dedup_vs_numpy", ours=rate, theirs=CANDIDATES / numpy["seconds"],
        ratio=numpy["seconds"] / ours["seconds"], unit="candidates/s", rows=ROWS, **memory,
        cpu_ratio=numpy["cpu_s"] / ours["cpu_s"],
        limit="both the same matrix product; ours reads beside it and never holds all",
    )  # fmt: skip
    assert ours["found"] == expected
    assert numpy["found"] == expected
    assert search["found"] == expected[:SEARCHED]
    assert np.allclose(ours["cosine"], numpy["cosine"], atol=1e-5)
    assert ours["growth_mb"] < MAX_GROWTH_MB
