"""Trials: kept once, in order; one champion at a time, which is no version of its own."""

from dataclasses import replace

import pytest
from landed import columns, land

from tasks.domain.errors import UnknownVersion
from tasks.store.archive import Archive
from tasks.store.rows import TrialRow
from tasks.store.trials import Trials

ROW = TrialRow(
    trial_id="a", version="v1", dataset="x", recommended_share=0.15, is_promoted=True,
    reason="promoted", params="{}", result="{}", created_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


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
    ledger.record(replace(ROW, trial_id="b", created_at="2026-01-02T00:00:00+00:00"))
    ledger.record(ROW)
    ledger.record(replace(ROW, reason="again"))
    assert [(row["trial_id"], row["reason"]) for row in ledger.rows()] == [
        ("a", "promoted"), ("b", "promoted"),
    ]  # fmt: skip


def test_the_champions_tag_moves_and_breaks_nothing(pool):
    ledger, archive = Trials(pool), Archive(pool)
    assert ledger.champion() is None
    for version in ("v1", "v2", "v1"):
        ledger.promote(version)
        assert ledger.champion() == version
    assert archive.versions() == ["v1", "v2"]
    assert archive.verify("v1").ok
    assert archive.verify("v2").ok
    land(pool, "r3", ["e"], base="v2")
    assert (ledger.champion(), archive.latest()) == ("v1", "v3")
    with pytest.raises(UnknownVersion, match="v9"):
        ledger.promote("v9")


def test_recording_a_trial_makes_no_version_and_no_lock_stays(pool):
    Trials(pool).record(ROW)
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
