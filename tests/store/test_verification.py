"""Verify: each column of each table changed in turn, rows lost, added and doubled, tags moved."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from landed import TRIAL, columns, land, run_row

from tasks.domain.errors import PoolBroken
from tasks.store.archive import Archive
from tasks.store.rows import (
    RUNS_SCHEMA,
    SEALS_SCHEMA,
    TRIALS_SCHEMA,
    plain_rows,
    pool_schema,
    sources_schema,
)
from tasks.store.seals import kind_of, seal_of
from tasks.store.tables import TABLES
from tasks.store.trials import Trials

SCHEMAS = {
    "pool": pool_schema(8), "rejected": pool_schema(8, rejected=True), "sources": sources_schema(8),
    "seals": SEALS_SCHEMA, "runs": RUNS_SCHEMA, "trials": TRIALS_SCHEMA,
}  # fmt: skip
NULLED = ("id", "run_id", "image", "embedding", "s_i", "version", "positions", "tombstone", "seal")
CHANGES = [
    (table, name, to)
    for table, schema in SCHEMAS.items()
    for name in schema.names
    for to in ("other", *(["null"] if name in NULLED else []))
]
NAMED = {"pool": "b", "rejected": "d", "sources": "s1", "runs": "r1 (v1)", "trials": "t1"}
KEYS = {"runs": "run_id", "trials": "trial_id"}


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    """Two versions with two trials; changed copies of it are what the tests look at."""
    uri = tmp_path_factory.mktemp("landed") / "pool"
    land(uri, "r1", ["a", "b", "c"], ["d", "e"], run=run_row("r1", lineage="{}"))
    land(uri, "r2", ["f"], ["g"], base="v1", source="s2")
    for day, version in ((1, "v1"), (2, "v2")):
        record(uri, f"t{day}", version, f"2026-01-0{day}")
    assert Archive(str(uri)).verify().ok
    return uri


def record(uri, trial_id: str, version: str, when: str) -> None:
    Trials(str(uri)).record(replace(TRIAL, trial_id=trial_id, version=version, created_at=when))


@pytest.fixture
def pool(landed, tmp_path):
    return Path(shutil.copytree(landed, tmp_path / "pool"))


def other(value, kind: pa.DataType):
    """A value of the column's type that is not this one, as near to it as can be."""
    if value is None:
        return "v1" if pa.types.is_string(kind) else 1.0
    if isinstance(value, list):
        return [other(value[0], kind.value_type), *value[1:]]
    if pa.types.is_float32(kind):
        return float(np.nextafter(np.float32(value), np.float32(9)))
    changes = {
        bytes: lambda v: v[:-1] + bytes([v[-1] ^ 1]), bool: lambda v: not v,
        int: lambda v: v + 1, float: lambda v: float(np.nextafter(v, 9)),
        str: lambda v: v + "x",
    }  # fmt: skip
    return changes[type(value)](value)


def rewrite(pool: Path, table: str, change) -> None:
    """Write a table anew as an intruder would, and point its newest tags at what he wrote."""
    database = lancedb.connect(str(pool))
    rows = change(database.open_table(table).to_arrow())
    written = database.create_table(table, data=rows, mode="overwrite")
    if table != "trials":
        for tag in ("v2", "champion"):
            written.tags.update(tag, written.version)


def key_of(table: str) -> str:
    return KEYS.get(table, "id")


def with_value(table: str, column: str, to):
    """A function that changes one value of the row that `NAMED` names (of seals, the row `b`)."""

    def change(rows: pa.Table) -> pa.Table:
        found = rows.to_pylist()
        wanted = NAMED.get(table, "b").split()[0]
        (row,) = [row for row in found if row[key_of(table)] == wanted]
        row[column] = to(row[column], rows.schema.field(column).type)
        return pa.Table.from_pylist(found, schema=rows.schema)

    return change


def problems_of(pool: Path, of: str, version: str | None = None) -> list[str]:
    """What verify says of a table, but for the tags that the intruder moved."""
    found = Archive(str(pool)).verify(version)
    assert found.ok == (not found.problems)
    return [one for one in found.problems if one.startswith(f"{of}:") and "the tag" not in one]


@pytest.mark.parametrize(("table", "column", "to"), CHANGES)
def test_a_change_in_any_column_of_any_table_is_found_and_named(pool, table, column, to):
    rewrite(pool, table, with_value(table, column, other if to == "other" else lambda *_: None))
    found = Archive(str(pool)).verify().problems
    mine = [one for one in found if one.startswith(f"{table}:") and "the tag" not in one]
    if table == "seals":
        assert any(one.startswith(("pool:", "seals:")) for one in found if "the tag" not in one)
    elif column == key_of(table):
        assert any("not as it was written" in one or "never landed" in one for one in mine)
    elif column == "seal":
        assert any(NAMED[table] in one for one in mine)
    elif column == "version" and table == "runs":
        assert any("row of v1 is missing" in one for one in mine)
    else:
        (named,) = [one for one in mine if "not as it was written" in one]
        assert f"row {NAMED[table]} " in named
        assert named.endswith(f"({kind_of(column)})")


@pytest.mark.parametrize("table", [*NAMED])
def test_a_missing_row_is_found_and_named(pool, table):
    wanted = NAMED[table].split()[0]
    rewrite(
        pool, table,
        lambda rows: rows.filter(pa.compute.not_equal(rows[key_of(table)], wanted)),
    )  # fmt: skip
    said = {"runs": "row of v1 is missing", "trials": "a row is missing"}
    named = said.get(table, f"row {wanted} is missing")
    assert any(named in one for one in problems_of(pool, table))


@pytest.mark.parametrize("table", ["pool", "rejected", "sources", "runs", "trials"])
@pytest.mark.parametrize("key", ["its own", "zz"])
def test_a_row_twice_and_a_row_of_another_hand_are_found(pool, table, key):
    wanted = NAMED[table].split()[0]

    def doubled(rows: pa.Table) -> pa.Table:
        again = with_value(table, key_of(table), lambda was, _: was if key == "its own" else key)
        mine = pa.compute.equal(rows[key_of(table)], wanted)
        return pa.concat_tables([rows, again(rows.filter(mine))])

    rewrite(pool, table, doubled)
    found = problems_of(pool, table)
    named = {"runs": "twice", "trials": "another hand"}
    assert any(named.get(table, "twice" if key != "zz" else "row zz was") in one for one in found)


def test_a_change_in_the_last_trial_and_its_loss_are_found(pool):
    table = lancedb.connect(str(pool)).open_table("trials")
    table.delete("trial_id = 't2'")
    assert any("written to after the last trial" in one for one in problems_of(pool, "trials"))


@pytest.mark.parametrize("tag", ["v1", "v2", "champion"])
@pytest.mark.parametrize("table", TABLES)
def test_a_moved_tag_and_a_lost_one_are_found_and_named(pool, table, tag):
    """Moved to a position with the very same rows, where nothing but the position tells."""
    lance = lancedb.connect(str(pool)).open_table(table)
    lance.checkout(lance.tags.list()[tag]["version"])
    lance.restore()
    lance.tags.update(tag, lance.version)
    found = Archive(str(pool)).verify("v2").problems
    assert any(f"{table}: the tag {tag} stands at" in one for one in found)
    assert len(found) == 1
    if (table, tag) != ("pool", "v2"):  # the tag that commits: without it there is no version
        lance.tags.delete(tag)
        found = Archive(str(pool)).verify().problems
        assert any(f"the tag {tag}" in one for one in found)


def test_history_cannot_be_rewritten_without_it_showing(pool):
    """The first run resealed after an edit: the second one knows its former seal."""

    def resealed(rows: pa.Table) -> pa.Table:
        found = rows.to_pylist()
        for row in found:
            if row["run_id"] == "r1":
                row["funnel"] = '{"listed": 9}'
                row["seal"] = seal_of(row)
        return pa.Table.from_pylist(found, schema=rows.schema)

    rewrite(pool, "runs", resealed)
    assert problems_of(pool, "runs") == [
        "runs: row r2 (v2) does not follow on the row before it; history was rewritten"
    ]


def test_a_row_resealed_after_an_edit_shows_in_the_manifest(pool):
    edited = with_value("pool", "s_i", lambda *_: 0.99)
    seals = {}

    def remember(rows: pa.Table) -> pa.Table:
        rows = edited(rows)
        seals.update({r["id"]: seal_of(r) for b in rows.to_batches() for r in plain_rows(b)})
        return rows

    rewrite(pool, "pool", remember)
    rewrite(pool, "seals", with_value("seals", "seal", lambda *_: seals["b"]))
    (problem,) = problems_of(pool, "pool")
    assert "manifest" in problem


def test_only_the_changed_row_is_named(pool):
    rewrite(pool, "pool", with_value("pool", "image", other))
    assert problems_of(pool, "pool") == ["pool: row b is not as it was written (pixels)"]
    assert Archive(str(pool)).verify("v1").ok


def test_a_byte_flipped_anywhere_in_a_data_file_is_found_or_changes_nothing(landed, tmp_path):
    """300 bytes drawn over all data files; what verify passes must read as it did."""
    before = everything(landed)
    rng, found = random.Random(5), 0
    for index in range(300):
        files = sorted(landed.rglob("data/*.lance"))
        file = rng.choice(files)
        data = bytearray(file.read_bytes())
        place = rng.randrange(len(data))
        kept, data[place] = bytes(data), data[place] ^ (1 << rng.randrange(8))
        file.write_bytes(data)
        try:
            is_found = not Archive(str(landed)).verify().ok
        except PoolBroken:
            is_found = True
        try:
            assert is_found or everything(landed) == before, (index, file, place)
        finally:
            file.write_bytes(kept)
        found += is_found
    assert found > 30


def everything(uri: Path) -> dict:
    database = lancedb.connect(str(uri))
    return {name: database.open_table(name).to_arrow().to_pylist() for name in SCHEMAS}


def test_an_empty_pool_and_an_empty_night_verify(tmp_path):
    land(tmp_path / "pool", "r1", [])
    land(tmp_path / "pool", "r2", [], base="v1")
    for version in ("v1", "v2"):
        found = Archive(str(tmp_path / "pool")).verify(version)
        assert (found.ok, found.rows) == (True, 0)


def test_times_stay_out_of_the_manifest_and_in_the_head(tmp_path):
    found = []
    for index, when in enumerate(("2026-01-01", "2027-01-01")):
        land(tmp_path / str(index), "r1", ["a"], ["b"], created_at=when)
        found.append(Archive(str(tmp_path / str(index))).verify())
    assert found[0].manifest == found[1].manifest
    assert found[0].head != found[1].head
    assert columns("a")["created_at"] != "2026-01-01"
