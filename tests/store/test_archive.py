"""The archive: versions, manifests, damage found and named, killed writers rolled back."""

import shutil
import threading

import lancedb
import numpy as np
import pytest
from landed import columns, land, run_row

from tasks.domain.errors import (
    ArchiveError,
    BadParameters,
    ModelSetMismatch,
    PoolBroken,
    PoolLocked,
    UnknownVersion,
)
from tasks.store.archive import Archive
from tasks.store.rows import PoolRow


@pytest.fixture
def pool(tmp_path):
    land(tmp_path / "pool", "r1", ["a", "b"], ["c"])
    return tmp_path / "pool"


def test_versions_accumulate_and_old_ones_stay_readable(pool):
    first = Archive(str(pool)).verify("v1")
    landed = land(pool, "r2", ["d"], base="v1")
    archive = Archive(str(pool))
    assert (landed.version, landed.accepted, landed.rows) == ("v2", 1, 3)
    assert archive.versions() == ["v1", "v2"]
    assert archive.verify("v1") == first
    assert archive.verify().ok
    assert {row["id"] for row in archive.list_rows("v1")} == {"a", "b"}


def test_rows_come_back_as_they_went_in(pool):
    row = Archive(str(pool)).row("a")
    wanted = columns("a")
    assert np.array_equal(row.pop("embedding"), wanted.pop("embedding"))
    assert np.array_equal(row.pop("embedding_image"), wanted.pop("embedding_image"))
    wanted |= {"window_xywh": [1, 2, 64, 64], "merged_ids": ["m1"]}
    assert {name: row[name] for name in wanted} == wanted
    assert Archive(str(pool)).row("c")["reasons"] == ["no novelty"]


def test_a_run_lands_once(pool):
    again = land(pool, "r1", ["x", "y", "z"])
    archive = Archive(str(pool))
    assert (again.version, archive.versions(), again.rows) == ("v1", ["v1"], 2)
    assert archive.base_version_for("r1") is None
    assert archive.base_version_for("another") == "v1"


def test_the_manifest_depends_on_content_not_on_order_or_time(tmp_path):
    one = land(tmp_path / "one", "r1", ["a", "b"])
    other = land(tmp_path / "other", "r1", ["b", "a"])
    later = Archive(str(tmp_path / "later")).land(
        run_row("r1"),
        pool=[PoolRow(**columns(i, created_at="2030-01-01T00:00:00+00:00")) for i in "ab"],
        rejected=[], sources=[], embedding_dim=8,
    )  # fmt: skip
    changed = Archive(str(tmp_path / "changed")).land(
        run_row("r1"),
        pool=[PoolRow(**columns(i, strength=0.36)) for i in "ab"],
        rejected=[], sources=[], embedding_dim=8,
    )  # fmt: skip
    assert one.manifest == other.manifest == later.manifest
    assert changed.manifest != one.manifest


KILLS = [
    *(("_insert_records", name) for name in ("rejected", "sources", "runs", "pool")),
    *(("_seal", name) for name in ("rejected", "sources", "pool")),
]


def kill(monkeypatch, method: str, name: str | None = None) -> None:
    """Die where a method is called next, for a table where one is named."""
    original = getattr(Archive, method)

    def killed(self, *args, **named):
        if name in {None, args[0] if args else None}:
            raise KeyboardInterrupt
        return original(self, *args, **named)

    monkeypatch.setattr(Archive, method, killed)


@pytest.mark.parametrize(("method", "name"), KILLS)
def test_a_writer_killed_anywhere_leaves_the_last_version_and_can_run_again(
    pool, method, name, monkeypatch
):
    before = Archive(str(pool)).verify()
    kill(monkeypatch, method, name)
    with pytest.raises(KeyboardInterrupt):
        land(pool, "r2", ["d", "e"], ["f"], base="v1", source="s2")
    monkeypatch.undo()
    assert Archive(str(pool)).verify() == before
    assert land(pool, "r2", ["d", "e"], ["f"], base="v1", source="s2").rows == 4
    assert Archive(str(pool)).verify("v2").ok
    assert Archive(str(pool)).verify("v1") == before


def test_a_first_run_killed_before_its_tag_leaves_no_pool(tmp_path, monkeypatch):
    uri = str(tmp_path / "pool")
    monkeypatch.setattr(Archive, "_manifests", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        land(uri, "r1", ["a", "ghost"])
    monkeypatch.undo()
    assert Archive(uri).versions() == []
    assert land(uri, "r1", ["a"]).rows == 1
    assert [row["id"] for row in Archive(uri).list_rows()] == ["a"]


def test_a_database_of_others_is_refused_and_left_as_it_is(tmp_path):
    theirs = lancedb.connect(tmp_path / "plant").create_table("sources", [{"camera": "line 3"}])
    with pytest.raises(ArchiveError, match="its table sources is of another one"):
        land(tmp_path / "plant", "r1", ["a"])
    assert theirs.count_rows() == 1


def test_versions_whose_pool_is_gone_are_refused_and_left_as_they_are(pool):
    shutil.rmtree(pool / "pool.lance")
    with pytest.raises(ArchiveError, match="Table 'pool' was not found"):
        land(pool, "r2", ["d"])
    assert lancedb.connect(pool).open_table("runs").count_rows() == 1


def test_a_home_that_only_a_shell_expands_is_refused(pool, monkeypatch):
    """LanceDB alone would expand it, and find tables whose versions are elsewhere."""
    monkeypatch.setenv("HOME", str(pool.parent))
    for uri in ("~/pool", f"file://{pool}"):
        with pytest.raises(BadParameters, match="written out"):
            land(uri, "r2", ["d"])
    assert Archive(str(pool)).verify().ok


def test_filters_are_values_not_text(pool):
    archive = Archive(str(pool))
    assert archive.list_rows(kind="x' OR 1=1 --") == []
    assert len(archive.list_rows(kind="crack")) == 2
    with pytest.raises(UnknownVersion):
        archive.row("a' OR '1'='1")


def test_unknown_pools_and_versions_are_said_plainly(pool, tmp_path):
    with pytest.raises(UnknownVersion, match="there is none"):
        Archive(str(tmp_path / "nowhere")).verify()
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UnknownVersion, match="v1"):
        Archive(str(pool)).verify("v9")


def test_sets_that_share_the_embedder_share_a_pool_and_another_embedder_is_refused(pool):
    Archive(str(pool)).land(
        run_row("r2", "v1", fingerprint="a" * 32),
        pool=[PoolRow(**columns("d"))], rejected=[], sources=[], embedding_dim=8,
    )  # fmt: skip
    Archive(str(pool)).require_model_set("e" * 32)
    with pytest.raises(ModelSetMismatch, match=r"embedder 000.*eee.*name another pool"):
        Archive(str(pool)).require_model_set("0" * 32)


def test_a_damaged_file_is_a_broken_pool(pool):
    for file in (pool / "pool.lance" / "data").iterdir():
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(PoolBroken, match="restore it"):
        Archive(str(pool)).verify()


def test_only_one_writer_at_a_time(pool, monkeypatch):
    monkeypatch.setattr("tasks.store.lease.LOCK_TIMEOUT_S", 0.2)
    inside, leave = threading.Event(), threading.Event()

    def slow_rows():
        inside.set()
        leave.wait(10)
        yield PoolRow(**columns("slow"))

    def slow_run():
        Archive(str(pool)).land(
            run_row("slow", "v1"), pool=slow_rows(), rejected=[], sources=[], embedding_dim=8
        )

    writer = threading.Thread(target=slow_run)
    writer.start()
    assert inside.wait(10)
    with pytest.raises(PoolLocked, match="try again later"):
        land(pool, "r3", ["z"], base="v1")
    leave.set()
    writer.join()
    assert Archive(str(pool)).versions() == ["v1", "v2"]


def test_a_pool_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "pool").write_text("a file where a folder should be")
    with pytest.raises(ArchiveError, match="Expected to write"):
        land(tmp_path / "pool", "r1", ["a"])


def test_nothing_accepted_is_a_version_too(tmp_path):
    landed = land(tmp_path / "pool", "r1", [], ["c"])
    batches = list(Archive(str(tmp_path / "pool")).embeddings(landed.version))
    assert (landed.rows, batches) == (0, [])
    assert land(tmp_path / "pool", "r2", ["a"], base="v1").rows == 1


def test_embeddings_of_a_version_come_in_batches(pool, monkeypatch):
    monkeypatch.setattr("tasks.store.archive.EMBEDDINGS_AT_ONCE", 1)
    archive = Archive(str(pool))
    found = {ids[0]: rows for ids, rows in archive.embeddings("v1")}
    assert sorted(found) == ["a", "b"]
    for one, rows in found.items():
        assert np.array_equal(rows, columns(one)["embedding"][None])
    assert list(archive.embeddings(None)) == []


def test_a_digest_of_embeddings_tells_versions_apart(pool):
    archive = Archive(str(pool))
    assert archive.embeddings_sha256("v1") == archive.embeddings_sha256("v1")
    found = {archive.embeddings_sha256(version) for version in (None, *archive.versions())}
    assert len(found) == 1 + len(archive.versions()) >= 2
