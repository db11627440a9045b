"""Trials of a pool: what each found, and which version is the champion."""

from dataclasses import asdict
from typing import Any

import lancedb
import pyarrow as pa

from tasks.store.rows import TRIALS_SCHEMA, TrialRow
from tasks.store.tables import CHAMPION, TABLES, PoolTables

TRIALS = "trials"


class Trials(PoolTables):
    """Table `trials` of a pool; the version promoted last carries the tag `champion`.

    Two versions may share one position in LanceDB (a night that accepts nothing), so the ledger,
    not the tag, says which version the champion is.
    """

    def champion(self) -> str | None:
        """The version promoted last, or None."""
        promoted = [row["version"] for row in self.rows() if row["is_promoted"]]
        return promoted[-1] if promoted else None

    def rows(self) -> list[dict[str, Any]]:
        """The trials recorded for this pool, oldest first."""
        if not self._exists() or TRIALS not in self._names():
            return []
        rows = self._readable(lambda: self._open(TRIALS).to_lance().to_table().to_pylist())
        return sorted(rows, key=lambda row: (row["created_at"], row["trial_id"]))

    def last(self, dataset: str) -> dict[str, Any] | None:
        """The latest trial of a dataset, or None."""
        rows = [row for row in self.rows() if row["dataset"] == dataset]
        return rows[-1] if rows else None

    def record(self, trial: TrialRow) -> None:
        """Keep what a trial found, once, and tag the version that it promotes.

        Raises:
            UnknownVersion: no such version.
            PoolLocked, ArchiveError: as `Archive.land`.
        """
        version = self._existing(trial.version)
        with self._writing():
            if TRIALS not in self._names():
                lancedb.connect(self.uri).create_table(TRIALS, schema=TRIALS_SCHEMA)
            table = self._open(TRIALS)
            row = pa.Table.from_pylist([asdict(trial)], schema=table.schema)
            merge = table.merge_insert("trial_id").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(row)
            if trial.is_promoted:
                for name in TABLES:
                    self._tag(name, self._tags(name)[version])

    def _tag(self, name: str, position: int) -> None:
        """Put the tag `champion` of a table at a position of it."""
        tags = self._open(name).tags
        if CHAMPION in tags.list():
            tags.update(CHAMPION, position)
        else:
            tags.create(CHAMPION, position)
