"""Trials of a pool: what each found, and which version is the champion."""

from dataclasses import asdict
from typing import Any

import lancedb

from tasks.store.rows import TRIALS_SCHEMA, TrialRow
from tasks.store.tables import TABLES, PoolTables

TRIALS, CHAMPION = "trials", "champion"


class Trials(PoolTables):
    """Table `trials` and the tag `champion` of a pool."""

    def champion(self) -> str | None:
        """The version that carries the tag `champion`, or None."""
        if not self._exists():
            return None
        tags = self._readable(self._open("pool").tags.list)
        place = tags.get(CHAMPION, {}).get("version")
        return next((name for name, at in self._tags("pool").items() if at == place), None)

    def rows(self) -> list[dict[str, Any]]:
        """The trials recorded for this pool, oldest first."""
        if not self._exists() or TRIALS not in self._names():
            return []
        rows = self._readable(lambda: self._open(TRIALS).to_lance().to_table().to_pylist())
        return sorted(rows, key=lambda row: (row["created_at"], row["trial_id"]))

    def record(self, trial: TrialRow) -> None:
        """Keep what a trial found; the same trial again changes nothing.

        Raises:
            PoolLocked, ArchiveError: as `land`.
        """
        with self._writing():
            if TRIALS not in self._names():
                lancedb.connect(self.uri).create_table(TRIALS, schema=TRIALS_SCHEMA)
            self._insert_records(TRIALS, [asdict(trial)], "trial_id")

    def promote(self, version: str) -> None:
        """Give a version the tag `champion`, taking it from whichever had it.

        Raises:
            UnknownVersion: no such version.
        """
        version = self._existing(version)
        with self._writing():
            for name in TABLES:
                table, place = self._open(name), self._tags(name)[version]
                if CHAMPION in table.tags.list():
                    table.tags.update(CHAMPION, place)
                else:
                    table.tags.create(CHAMPION, place)
