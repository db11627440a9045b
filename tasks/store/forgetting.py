"""Forgetting: a source and all that was made from it leave a pool for good, from old versions too.

A version is a promise that what was landed can be read again, byte by byte; the right to erasure
is a promise that it cannot. Here the second one wins, and the first says what it has lost:

- Every version keeps its name, its tag, its run and its recorded manifest. Its rows made from the
  source are gone; table `seals` keeps their seals (digests, no content), so the recorded manifests
  still recompute, and `verify` tells what each version holds less than it did, and why.
- A new version stands for the withdrawal: its run carries the tombstone (source, rows, when, why,
  asked by whom), its manifest covers what is left, and runs that start later start from it.
- A lineage that knew the source keeps its id, which a trial must still refuse as a test image, and
  loses its name, place and fine structure. Weights that learned from it are not the pool's.
- Other images keep their scores, though the source had a part in the calibration of their run.
  File names (no pixels) may still stand in the results of trials.

LanceDB deletes by marking, and keeps old files for old versions. So each table is written anew
without the rows, version by version, its tags move to the new positions (noted in the new run),
and what no tag holds is deleted: `forgetting.json` in the pool's folder is written before anything
moves and removed once nothing is left, so a withdrawal killed anywhere ends when run again.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.domain.errors import ArchiveError
from tasks.domain.tombstone import Tombstone
from tasks.store.files import write_whole
from tasks.store.history import JOURNAL, PoolHistory
from tasks.store.lease import Held
from tasks.store.lineages import knows_source, without_source
from tasks.store.remote import place
from tasks.store.rows import RunRow
from tasks.store.seals import seal_of
from tasks.store.tables import CHAMPION, TABLES, WRITE_BATCH
from tasks.store.trials import Trials

OWNER = {"pool": "source_id", "rejected": "source_id", "sources": "id"}


class Forgetting(PoolHistory):
    """A pool that sources can be withdrawn from."""

    def withdrawal(self, source_id: str, *, why: str = "", who: str = "") -> Tombstone:
        """What `forget` would withdraw; changes nothing."""
        version = self._existing(None)
        runs = self._current_runs(version)
        withdrawn = {}
        for name, owner in OWNER.items():
            of_source = pc.field(owner) == source_id
            ids = self._read(name, version, ["id"], where=of_source)["id"].to_pylist()
            withdrawn[name] = tuple(sorted(ids))
        amended = {
            row["run_id"]: seal_of(row | {"lineage": without_source(row["lineage"], source_id)})
            for row in runs
            if knows_source(row["lineage"], source_id)
        }
        tags = {tag for name in TABLES for tag in self._open(name).tags.list()}
        return Tombstone(
            source_id=source_id,
            version=f"v{int(version[1:]) + 1}",
            withdrawn=withdrawn,
            amended=amended,
            tags=tuple(sorted(tags - set(self.versions()) - {CHAMPION})),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            why=why,
            who=who,
        )

    def forget(self, source_id: str, *, why: str = "", who: str = "") -> Tombstone:
        """Withdraw a source with all that was made from it, physically; once is enough.

        Tags that are neither versions nor `champion` would hold old files: they are removed, and
        the tombstone names them.

        Raises:
            PoolLocked: a run has been writing for ten minutes.
            ArchiveError: the disk is full, the pool cannot be written, or old files stay.
        """
        self._existing(None)
        with self._writing() as require_held:
            self._recover()
            if (pending := self._journal()) is not None:
                self._withdraw(pending, require_held)
            done = [grave for grave in self.tombstones() if grave.source_id == source_id]
            if done:
                return done[0]
            grave = self.withdrawal(source_id, why=why, who=who)
            self._write_journal(grave)
            self._withdraw(grave, require_held)
            return grave

    def _write_journal(self, grave: Tombstone) -> None:
        """Say what is about to be withdrawn, whole or not at all."""
        write_whole(f"{self.uri}/{JOURNAL}", grave.model_dump_json().encode())

    def _withdraw(self, grave: Tombstone, require_held: Held) -> None:
        """Carry a withdrawal out, from wherever it was left."""
        self._recover()
        if grave not in self.tombstones():
            if grave.version in self.versions():  # a run landed first, and may hold more of it
                grave = self.withdrawal(grave.source_id, why=grave.why, who=grave.who)
                self._write_journal(grave)
            for name in OWNER:
                require_held()
                self._rewrite(name, frozenset(grave.withdrawn[name]), {})
            require_held()
            self._rewrite("runs", frozenset(), self._without(grave))
            self._follow_champion()
            self._set_stone(grave)
        for name in TABLES:
            require_held()
            self._purge(name)
        (place(self.uri) / JOURNAL).unlink()

    def _without(self, grave: Tombstone) -> dict[str, str]:
        """The lineages that the tombstone amends, by run."""
        runs = self._runs(self._existing(None))
        return {
            row["run_id"]: without_source(row["lineage"], grave.source_id)
            for row in runs
            if row["run_id"] in grave.amended
        }

    def _rewrite(self, name: str, gone: frozenset[str], lineages: dict[str, str]) -> None:
        """Write a table anew, version by version, without some rows and with other lineages."""
        if not gone and not lineages:
            return
        database, written, at = self._database(), set[str](), 0
        key = "run_id" if name == "runs" else "id"
        moved: dict[str, int] = {}
        for version in self._tags(name):
            there = self._at(name, version)
            ids = there.to_table(columns=[key])[key].to_pylist()
            rows = [i for i, one in enumerate(ids) if one not in gone and one not in written]
            reader = pa.RecordBatchReader.from_batches(there.schema, _taken(there, rows, lineages))
            if not moved:
                at = database.create_table(name, data=reader, mode="overwrite").version
            elif rows:
                table = self._open(name)
                table.add(reader)
                at = table.version
            written |= {ids[i] for i in rows}
            moved[version] = at
        for version, position in moved.items():
            self._set_tag(name, version, position)

    def _follow_champion(self) -> None:
        """Move the tag `champion` to where its version stands now."""
        champion = Trials(self.uri).champion()
        for name in TABLES:
            if champion is not None:
                self._set_tag(name, CHAMPION, self._tags(name)[champion])
            elif CHAMPION in self._open(name).tags.list():
                self._open(name).tags.delete(CHAMPION)

    def _set_stone(self, grave: Tombstone) -> None:
        """Commit the version that stands for the withdrawal."""
        last = self._current_runs(self._existing(None))[-1]
        run = RunRow(
            run_id=f"forget-{grave.source_id[:25]}", base_version=last["version"],
            params=json.dumps({"forget": grave.source_id}), calibration="{}", funnel="{}",
            versions="{}", energy="{}", created_at=grave.created_at,
            model_set_fingerprint=last["model_set_fingerprint"],
            embedder_fingerprint=last["embedder_fingerprint"], lineage="",
        )  # fmt: skip
        tags = {name: self._tags(name) for name in TABLES}
        positions = {v: {name: tags[name][v] for name in TABLES} for v in self.versions()}
        at = {name: int(self._open(name).version) for name in TABLES}
        held = len(self._ids("pool", at["pool"]))
        self._commit(
            run, grave.version, at, held=held, tombstone=grave, positions=positions
        )  # fmt: skip

    def _purge(self, name: str) -> None:
        """Delete every file of a table that neither a version nor the champion holds.

        Raises:
            ArchiveError: an old version stays.
        """
        for tag in set(self._open(name).tags.list()) - {*self.versions(), CHAMPION}:
            self._open(name).tags.delete(tag)
        dataset = self._open(name).to_lance()
        dataset.cleanup_old_versions(
            older_than=timedelta(0), delete_unverified=True, error_if_tagged_old_versions=False
        )
        tagged = {tag["version"] for tag in self._open(name).tags.list().values()}
        there = {one["version"] for one in self._open(name).to_lance().versions()}
        if left := there - tagged - {self._open(name).version}:
            raise ArchiveError(
                f"Expected {name} of {self.uri} without its old versions, but {sorted(left)} stay; "
                "close what reads them, and run again"
            )


def _taken(dataset: Any, rows: list[int], lineages: dict[str, str]) -> Iterator[pa.RecordBatch]:
    """Some rows of a table, a batch in memory, lineages exchanged by run."""
    for start in range(0, len(rows), WRITE_BATCH):
        part = dataset.take(rows[start : start + WRITE_BATCH])
        if lineages:
            texts = [
                lineages.get(run, text)
                for run, text in zip(*part.select(["run_id", "lineage"]).to_pydict().values(),
                                     strict=True)
            ]  # fmt: skip
            place = part.schema.get_field_index("lineage")
            part = part.set_column(place, part.schema.field(place), pa.array(texts, pa.string()))
        yield from part.to_batches()
