"""Landing: a run's rows become the next version of a pool, all or nothing."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from tasks.domain.errors import ArchiveError, PoolMoved
from tasks.store.history import LandedVersion, PoolHistory
from tasks.store.rows import (
    PoolRow,
    RejectedRow,
    RunRow,
    SourceRow,
    as_record,
    table_schemas,
)
from tasks.store.seals import seal_of
from tasks.store.tables import TABLES, WRITE_BATCH, version_number


class Landing(PoolHistory):
    """A pool that runs land in, one at a time."""

    def land(
        self,
        run: RunRow,
        *,
        pool: Iterable[PoolRow],
        rejected: Iterable[RejectedRow],
        sources: Iterable[SourceRow],
        embedding_dim: int,
    ) -> LandedVersion:
        """Commit a run as the next version, all or nothing; a run that has landed stays as it is.

        Raises:
            PoolLocked: another run has been writing for ten minutes.
            PoolMoved: another run has landed since this one looked at the pool.
            StorageRefused, TransientError: see `reaching`.
            ArchiveError: the disk is full, the pool cannot be written, an older poolstar did, a
                withdrawal has not ended, or a source was withdrawn while the run was on its way.
        """
        with self._writing():
            self.require_settled()
            at = self._recover()
            if (landed := self._run(run.run_id)) is not None:
                return LandedVersion(
                    landed["version"], landed["pool_manifest"], landed["accepted"], landed["rows"]
                )
            before, forgotten = self.latest(), frozenset(g.source_id for g in self.tombstones())
            self._require_base(run, before)
            at |= self._create_tables(embedding_dim)
            held = len(self._ids("pool", at["pool"]))
            self._insert("rejected", rejected, forgotten, at)
            self._insert("sources", sources, forgotten, at)
            self._insert("pool", pool, forgotten, at)
            if before is not None and self._keeps_lineage(before, run.model_set_fingerprint):
                run = replace(run, lineage="")
            return self._commit(run, f"v{version_number(before) + 1}", at, held=held)

    def _require_base(self, run: RunRow, before: str | None) -> None:
        """A run was judged against the version it started from, so it lands on that one alone."""
        if run.base_version != before:
            raise PoolMoved(
                f"Expected {self.uri} at {run.base_version or 'no version'}, against which the "
                f"run was judged, but it is at {before}; judge the candidates against that one"
            )

    def _keeps_lineage(self, version: str, fingerprint: str) -> bool:
        """Whether the lineage of a model set stands in a version already."""
        runs = self._current_runs(version)
        return any(run["lineage"] and run["model_set_fingerprint"] == fingerprint for run in runs)

    def _create_tables(self, dim: int) -> dict[str, int]:
        """Empty tables where there are none yet; their positions."""
        database, schemas = self._database(), table_schemas(dim)
        return {
            name: int(database.create_table(name, schema=schemas[name]).version)
            for name in sorted(set(TABLES) - set(self._names()))
        }

    def _insert(
        self,
        name: str,
        rows: Iterable[PoolRow | SourceRow],
        forgotten: frozenset[str],
        at: dict[str, int],
    ) -> None:
        """Insert rows whose id is not there yet, a batch at a time, and note their seals."""
        known = set(self._register(name, at["seals"]))
        rest, seals = iter(rows), dict[str, str]()
        while batch := list(islice(rest, WRITE_BATCH)):
            fresh: dict[str, dict[str, Any]] = {}
            for record in map(as_record, batch):
                self._require_unforgotten(record.get("source_id", record["id"]), forgotten)
                if record["id"] not in known and record["id"] not in seals:
                    fresh.setdefault(record["id"], record)
            if fresh:
                self._insert_records(name, list(fresh.values()), "id", at)
                seals |= {key: seal_of(record) for key, record in fresh.items()}
        self._seal(name, seals, at)

    def _require_unforgotten(self, source_id: str, forgotten: frozenset[str]) -> None:
        if source_id in forgotten:
            raise ArchiveError(
                f"Expected sources that may be used, but {source_id[:12]} was withdrawn from "
                f"{self.uri} while the run was on its way; run again, it will be refused"
            )
