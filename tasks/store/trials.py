"""Trials of a pool: what each found, and which version is the champion.

A trial's seal covers the seals of all others that stood when it was recorded, and the LanceDB
position that it made: the last one vouches for the whole table, which nobody else may write to.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from tasks.domain.errors import ArchiveError
from tasks.store.rows import TRIALS_SCHEMA, TrialRow
from tasks.store.seals import chained, changed_kinds, seal_of
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
        """The trials recorded for this pool, oldest first.

        Raises:
            ArchiveError: an older poolstar wrote the table.
        """
        if not self._exists() or TRIALS not in self._names():
            return []
        table = self._readable(lambda: self._at(TRIALS, None))
        if missing := set(TRIALS_SCHEMA.names) - set(table.schema.names):
            raise ArchiveError(
                f"Expected trials that name {', '.join(sorted(missing))}, but those of {self.uri} "
                "were written by an older poolstar; name another pool and grow it again"
            )
        rows = self._readable(lambda: table.to_table().to_pylist())
        return sorted(rows, key=lambda row: (str(row["created_at"]), str(row["trial_id"])))

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
        with self._writing() as require_held:
            if TRIALS not in self._names():
                self._database().create_table(TRIALS, schema=TRIALS_SCHEMA)
            table = self._open(TRIALS)
            others = [row["seal"] for row in self.rows() if row["trial_id"] != trial.trial_id]
            row = asdict(trial) | {"position": table.version + 1, "others": chained(others)}
            row["seal"] = seal_of(row)
            require_held()
            merge = table.merge_insert("trial_id").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(
                pa.Table.from_pylist([row], schema=table.schema)
            )
            if trial.is_promoted:
                for name in TABLES:
                    self._set_tag(name, CHAMPION, self._tags(name)[version])

    def problems(self) -> Iterator[str]:
        """Every trial, or tag of theirs, that is not as it was recorded."""
        rows = sorted(self.rows(), key=lambda row: row["position"] or 0)
        for row in rows:
            if kinds := changed_kinds(seal_of(row), str(row["seal"])):
                yield f"trials: row {row['trial_id']} is not as it was written ({', '.join(kinds)})"
        if rows and rows[-1]["others"] != chained([str(row["seal"]) for row in rows[:-1]]):
            yield "trials: a row is missing, or was added by another hand"
        now = self._open(TRIALS).version if TRIALS in self._names() else 1
        if now != (due := rows[-1]["position"] if rows else 1):
            yield f"trials: written to after the last trial (LanceDB version {now}, {due} expected)"
