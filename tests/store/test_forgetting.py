"""Forgetting: the bytes are in no file any more, versions say what they lack, kills end well."""

import shutil
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pytest
from landed import TRIAL, land, run_row
from learned import rows, sources

from tasks.domain.errors import ArchiveError, BadInput, UnknownVersion
from tasks.store.archive import Archive
from tasks.store.lineages import encoded_lineage
from tasks.store.trials import Trials
from tasks.withdraw import withdraw_source

rng = np.random.default_rng(8)
MINE, THEIRS = "ab" * 32, "abababab" + "cd" * 28
SECRETS = {name: rng.bytes(5000) for name in ("photo", "image", "mask", "refused", "later")}
KEPT = rng.bytes(5000)
LINEAGE = encoded_lineage(sources(2, MINE[:-1]), rows(2))  # its second source is no one's


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    """v1: `mine` and `theirs`; v2: more of `mine`, with a lineage; v3: an empty night."""
    uri = tmp_path_factory.mktemp("landed") / "pool"
    named = MINE[:-1] + "0"
    land(uri, "r1", ["a", "b"], source=named, source_bytes=SECRETS["photo"],
         image=SECRETS["image"], mask=SECRETS["mask"])  # fmt: skip
    land(uri, "r2", ["c"], ["d"], base="v1", source=THEIRS, source_bytes=KEPT, image=KEPT)
    land(uri, "r3", ["e"], ["f"], base="v2", source=named, source_bytes=SECRETS["photo"],
         image=SECRETS["later"], bead_mask=SECRETS["refused"],
         run=run_row("r3", "v2", lineage=LINEAGE))  # fmt: skip
    land(uri, "r4", [], base="v3", source=THEIRS, source_bytes=KEPT)
    Trials(str(uri)).record(replace(TRIAL, version="v2"))
    return uri


SOURCE = MINE[:-1] + "0"


@pytest.fixture
def pool(landed, tmp_path):
    return Path(shutil.copytree(landed, tmp_path / "pool"))


def files_with(folder: Path, data: bytes) -> list[str]:
    """Files that hold the bytes, or any long stretch of them."""
    parts = [data[i : i + 64] for i in range(0, len(data) - 64, 512)]
    return [
        str(path) for path in folder.rglob("*") if path.is_file()
        and any(part in path.read_bytes() for part in parts)
    ]  # fmt: skip


def fine_structure_text() -> bytes:
    """A stretch of the base64 text of the first source's fine structure."""
    return LINEAGE.split('"structure":"')[1][100:1100].encode()


def ids_of(uri, version: str) -> dict[str, set[str]]:
    archive = Archive(str(uri))
    return {name: set(archive._ids(name, version)) for name in ("pool", "rejected", "sources")}


LEFT = {
    "v1": {"pool": set(), "rejected": set(), "sources": set()},
    "v2": {"pool": {"c"}, "rejected": {"d"}, "sources": {THEIRS}},
    "v3": {"pool": {"c"}, "rejected": {"d"}, "sources": {THEIRS}},
    "v4": {"pool": {"c"}, "rejected": {"d"}, "sources": {THEIRS}},
    "v5": {"pool": {"c"}, "rejected": {"d"}, "sources": {THEIRS}},
}


def require_forgotten(uri: Path) -> None:
    """All that must hold after a withdrawal, however it came about."""
    archive = Archive(str(uri))
    for name, secret in SECRETS.items():
        assert files_with(uri, secret) == [], name
    assert files_with(uri, fine_structure_text()) == []
    assert files_with(uri, KEPT)
    assert {version: ids_of(uri, version) for version in archive.versions()} == LEFT
    for version in archive.versions():
        found = archive.verify(version)
        assert (found.problems, found.ok) == ((), True)
        assert bool(found.notes) == (version != "v5")
    assert Trials(str(uri)).champion() == "v2"
    assert [grave.source_id for grave in archive.tombstones()] == [SOURCE]
    assert not (uri / "forgetting.json").exists()


def test_nothing_of_a_source_is_left_in_any_file_and_every_version_says_so(pool):
    before = {version: Archive(str(pool)).verify(version) for version in ("v1", "v2", "v3", "v4")}
    for name, secret in SECRETS.items():
        assert files_with(pool, secret), name
    assert files_with(pool, fine_structure_text())
    kept = Archive(str(pool)).row("c")
    grave = Archive(str(pool)).forget(SOURCE, why="contract ended", who="K. Muster")
    require_forgotten(pool)
    assert grave.withdrawn == {
        "pool": ("a", "b", "e"), "rejected": ("f",), "sources": (SOURCE,),
    }  # fmt: skip
    archive = Archive(str(pool))
    for version, was in before.items():
        found = archive.verify(version)
        assert (found.manifest, found.head) == (was.manifest, was.head)
        assert "withdrawn by v5" in found.notes[0]
        assert found.rows == len(LEFT[version]["pool"])
    assert archive.verify("v5").rows == 1
    row = archive.row("c")
    assert all(np.array_equal(row[name], kept[name]) for name in kept)
    assert archive.manifests("v2") != {}


def test_the_tombstone_tells_who_when_and_why_and_a_second_time_changes_nothing(pool):
    first = Archive(str(pool)).forget(SOURCE, why="contract ended", who="K. Muster")
    assert "asked by K. Muster: contract ended" in first.reason
    assert Archive(str(pool)).forget(SOURCE) == first
    assert Archive(str(pool)).versions() == ["v1", "v2", "v3", "v4", "v5"]
    with pytest.raises(UnknownVersion, match="contract ended"):
        Archive(str(pool)).image_id("a")


def test_a_lineage_keeps_the_id_and_nothing_else(pool):
    kept = Archive(str(pool)).lineages()[0]
    Archive(str(pool)).forget(SOURCE)
    (found, structure) = Archive(str(pool)).lineages("v3")[0]
    assert [one.id for one in found] == [one.id for one in kept[0]]
    assert (found[0].name, found[0].uri) == ("forgotten", "forgotten")
    assert not structure[0].any()
    assert np.array_equal(structure[1], kept[1][1])
    assert found[1] == kept[0][1]


KILLS = [
    ("_rewrite", 1), ("_rewrite", 2), ("_rewrite", 4), ("_set_tag", 1), ("_set_tag", 3),
    ("_set_tag", 9), ("_set_tag", 14), ("_follow_champion", 1), ("_set_stone", 1),
    ("_insert_records", 1), ("_purge", 1), ("_purge", 4),
]  # fmt: skip


@pytest.mark.parametrize(("method", "nth"), KILLS)
def test_killed_anywhere_it_says_so_and_ends_well_when_run_again(pool, monkeypatch, method, nth):
    original, calls = getattr(Archive, method), []

    def killed(self, *args, **named):
        calls.append(method)
        if len(calls) == nth:
            raise KeyboardInterrupt
        return original(self, *args, **named)

    monkeypatch.setattr(Archive, method, killed)
    with pytest.raises(KeyboardInterrupt):
        Archive(str(pool)).forget(SOURCE)
    monkeypatch.undo()
    for version in Archive(str(pool)).versions():
        assert any("has not ended" in one for one in Archive(str(pool)).verify(version).problems)
        assert ids_of(pool, version)["pool"] >= LEFT[version]["pool"]
    with pytest.raises(ArchiveError, match=f"pool forget {SOURCE}"):
        land(pool, "r9", ["z"], base="v4", source=THEIRS)
    Archive(str(pool)).forget(SOURCE)
    require_forgotten(pool)


def test_a_killed_withdrawal_is_taken_up_by_the_command_that_it_names(tmp_path, monkeypatch):
    """Also where no lineage knows the source any more, only the journal."""
    uri = tmp_path / "pool"
    land(uri, "r1", ["a"], source=SOURCE, source_bytes=SECRETS["photo"])
    land(uri, "r2", ["b"], base="v1", source=THEIRS, source_bytes=KEPT)
    monkeypatch.setattr(Archive, "_set_stone", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        withdraw_source(str(uri), SOURCE)
    monkeypatch.undo()
    assert SOURCE not in Archive(str(uri))._ids("sources", "v2")
    assert withdraw_source(str(uri), SOURCE[:12]).done
    assert Archive(str(uri)).verify().ok


def test_a_place_that_cannot_be_looked_at_may_remain_and_holds_nothing_up(pool, monkeypatch):
    def refused(uri):
        raise PermissionError(uri)

    monkeypatch.setattr("tasks.withdraw.place", refused)
    told = withdraw_source(str(pool), SOURCE)
    assert f"{pool}.store" in told.remaining
    require_forgotten(pool)


def test_what_a_killed_writer_left_behind_is_deleted_too(pool, monkeypatch):
    monkeypatch.setattr(Archive, "_seal", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    ghost = rng.bytes(5000)
    with pytest.raises(KeyboardInterrupt):
        land(pool, "r9", [], ["ghost"], base="v4", source=SOURCE, image=ghost)
    monkeypatch.undo()
    assert files_with(pool, ghost)
    Archive(str(pool)).forget(SOURCE)
    assert files_with(pool, ghost) == []
    require_forgotten(pool)


def test_a_tag_of_a_persons_own_does_not_keep_the_bytes_and_is_named(pool):
    table = lancedb.connect(str(pool)).open_table("pool")
    table.tags.create("delivery", table.tags.list()["v1"]["version"])
    assert Archive(str(pool)).forget(SOURCE).tags == ("delivery",)
    require_forgotten(pool)


def test_the_pool_goes_on_and_the_source_stays_out(pool):
    Archive(str(pool)).forget(SOURCE)
    assert land(pool, "r5", ["g"], base="v5", source=THEIRS, source_bytes=KEPT).version == "v6"
    with pytest.raises(ArchiveError, match="was withdrawn"):
        land(pool, "r6", ["h"], base="v6", source=SOURCE)
    archive = Archive(str(pool))
    assert archive.versions()[-1] == "v6"
    assert archive.verify("v6").ok
    assert archive.verify("v2").ok
    archive.forget(THEIRS)
    assert files_with(pool, KEPT) == []
    assert [archive.verify(version).problems for version in archive.versions()] == [()] * 7
    assert archive.verify("v7").rows == 0


def test_a_tombstone_edited_or_a_row_brought_back_shows(pool):
    Archive(str(pool)).forget(SOURCE)
    table = lancedb.connect(str(pool)).open_table("runs")
    table.update(where="version = 'v5'", values={"tombstone": ""})
    table.tags.update("v5", table.version)
    found = Archive(str(pool)).verify("v2").problems
    assert any("forget-" in one and "metadata" in one for one in found)
    assert any("row a is missing" in one or "row b is missing" in one for one in found)


def test_a_source_is_named_by_its_first_digits_when_they_are_enough(pool):
    archive = Archive(str(pool))
    assert archive.source_id(THEIRS[:10]) == THEIRS
    assert archive.source_id(SOURCE) == SOURCE
    with pytest.raises(BadInput, match="may be"):
        archive.source_id("abababab")
    for unknown in ("nobody", "ab", ""):
        with pytest.raises(UnknownVersion, match="sha256"):
            archive.source_id(unknown)
