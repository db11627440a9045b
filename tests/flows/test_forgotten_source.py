"""A customer withdraws a part: the pool forgets it, and growing on the same folder refuses it."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from small_run import small_run

from flows.grow_pool import grow_pool
from tasks.store.archive import Archive
from tasks.withdraw import withdraw_source


def parts(pool: str, version: str) -> Counter:
    archive = Archive(pool)
    return Counter(
        row["source_id"] for name in ("pool", "rejected") for row in archive.labels(name, version)
    )


@pytest.mark.slow
def test_a_forgotten_part_is_in_no_version_and_cannot_come_back(plant, tmp_path):
    params = small_run(plant, tmp_path).model_copy(update={"max_rounds": 1})
    grow_pool(params)
    source, rows = parts(params.pool, "v1").most_common(1)[0]
    photo = next(
        path for path in Path(params.images).rglob("*.png")
        if hashlib.sha256(path.read_bytes()).hexdigest() == source
    )  # fmt: skip
    secret = photo.read_bytes()[64:4096]
    held = [path for path in Path(params.pool).rglob("*.lance") if path.is_file()]
    assert any(secret in path.read_bytes() for path in held)
    found = withdraw_source(params.pool, str(photo), why="contract ended")
    assert sum(len(found.tombstone.withdrawn[name]) for name in ("pool", "rejected")) == rows
    assert f"{params.pool}.store" in found.remaining
    files = [path for path in Path(params.pool).rglob("*") if path.is_file()]
    assert not any(secret in path.read_bytes() for path in files)

    again = grow_pool(params.model_copy(update={"run_seed": 5}))
    assert again.version == "v3"
    refused = {row.reason: row.count for row in again.funnel.rows if row.stage == "ingest"}
    assert refused == {"forgotten": 1}
    archive = Archive(params.pool)
    for version in ("v1", "v2", "v3"):
        assert source not in parts(params.pool, version)
        assert archive.verify(version).ok
