"""Trials: kept once, in order; one champion at a time, which is no version of its own."""

from dataclasses import replace

import lancedb
import pytest
from landed import TRIAL, columns, land

from tasks.domain.errors import UnknownVersion
from tasks.store.archive import Archive
from tasks.store.rows import TrialRow
from tasks.store.trials import Trials


@pytest.fixture
def pool(tmp_path):
    land(tmp_path / "pool", "r1", ["a", "b"], ["c"])
    land(tmp_path / "pool", "r2", ["d"], base="v1")
    return str(tmp_path / "pool")


def test_a_pool_without_trials_has_none_and_a_trial_is_kept_once(pool, tmp_path):
    assert Trials(pool).rows() == []
    assert Trials(str(tmp_path / "nowhere")).rows() == []
    assert Trials(str(tmp_path / "nowhere")).champion() is None
    ledger = Trials(pool)
    ledger.record(replace(TRIAL, trial_id="b", created_at="2026-01-02T00:00:00+00:00"))
    ledger.record(TRIAL)
    ledger.record(replace(TRIAL, reason="again"))
    assert [(row["trial_id"], row["reason"]) for row in ledger.rows()] == [
        ("a", "again"), ("b", "promoted"),
    ]  # fmt: skip


def promoted(version: str, day: int) -> TrialRow:
    when = f"2026-01-{day:02d}T00:00:00+00:00"
    return replace(TRIAL, trial_id=f"t{day}", version=version, created_at=when)


def test_the_champion_is_the_version_promoted_last_and_breaks_nothing(pool):
    ledger, archive = Trials(pool), Archive(pool)
    assert ledger.champion() is None
    for day, version in enumerate(("v1", "v2", "v1"), start=1):
        ledger.record(promoted(version, day))
        assert ledger.champion() == version
    ledger.record(replace(promoted("v2", 9), is_promoted=False))
    assert ledger.champion() == "v1"
    assert archive.versions() == ["v1", "v2"]
    assert archive.verify("v1").ok
    assert archive.verify("v2").ok
    land(pool, "r3", ["e"], base="v2")
    assert (ledger.champion(), archive.latest()) == ("v1", "v3")
    with pytest.raises(UnknownVersion, match="v9"):
        ledger.record(promoted("v9", 11))


def test_a_night_that_accepts_nothing_does_not_confuse_the_champion(pool):
    land(pool, "r3", [], base="v2")
    Trials(pool).record(promoted("v3", 1))
    assert Trials(pool).champion() == "v3"


def test_the_champions_tag_follows_when_a_killed_writer_is_rolled_back(pool):
    Trials(pool).record(promoted("v2", 1))
    table = lancedb.connect(pool).open_table("pool")
    table.delete("id = 'a'")  # a writer that died before its tag
    land(pool, "r3", ["e"], base="v2")
    tags = lancedb.connect(pool).open_table("pool").tags.list()
    assert tags["champion"]["version"] == tags["v2"]["version"]
    assert Archive(pool).verify("v2").ok


def test_recording_a_trial_makes_no_version_and_no_lock_stays(pool):
    Trials(pool).record(TRIAL)
    assert Archive(pool).versions() == ["v1", "v2"]
    assert Archive(pool).verify().ok
    land(pool, "r3", ["e"], base="v2")
    assert len(Trials(pool).rows()) == 1


def test_a_trial_reads_the_rows_it_may_use(pool):
    archive = Archive(pool)
    assert [row["id"] for row in archive.labels("pool", "v1")] == ["a", "b"]
    assert [row["stage"] for row in archive.labels("rejected")] == ["useful"]
    rows = archive.images("pool", "v2", ["d", "a"])
    assert [row["id"] for row in rows] == ["d", "a"]
    assert rows[0]["image"] == columns("d")["image"]
    assert [row["id"] for row in archive.sources()] == ["s1"]
    assert archive.manifests("v1")["pool"] != archive.manifests("v2")["pool"]
    with pytest.raises(UnknownVersion, match="zz"):
        archive.images("pool", "v2", ["zz"])
