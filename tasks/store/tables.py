"""The LanceDB tables of a pool: reading at a version, one writer at a time, errors said plainly."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.domain.errors import ArchiveError, PoolBroken, PoolMoved, UnknownVersion
from tasks.domain.places import writable
from tasks.store.lease import Held, one_writer
from tasks.store.remote import place, reaching, storage_options
from tasks.store.rows import RUNS_SCHEMA, PoolRow, plain_rows

T = TypeVar("T")
SEALED = ("pool", "rejected", "sources")
TABLES = ("rejected", "sources", "seals", "runs", "pool")  # tagged in this order: pool's commits
CHAMPION = "champion"
WRITE_BATCH = 64
BAD_FILES = (OSError, RuntimeError, ValueError, pa.ArrowException)  # as LanceDB raises
BATCHES_AHEAD = 4
READ_AHEAD_BYTES = 128 * 2**20


def among(column: str, values: Iterable[str]) -> pc.Expression:
    """Rows whose text is one of the values; typed, since Arrow takes an empty list for nulls."""
    return pc.field(column).isin(pa.array(list(values), pa.string()))


def vectors(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float32]:
    """(n, d) rows of a column of lists of one length."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = np.asarray(whole.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    return flat.reshape(-1, whole.type.list_size)


class PoolTables:
    """The tables of a pool at a folder or s3:// URI. Reading never creates anything."""

    def __init__(self, uri: str) -> None:
        self.uri = writable(uri).rstrip("/")

    def versions(self) -> list[str]:
        """All versions, oldest first; empty when there is no pool yet."""
        return list(self._tags("pool")) if self._exists() else []

    def latest(self) -> str | None:
        """The newest version, or None."""
        versions = self.versions()
        return versions[-1] if versions else None

    # --- writing -----------------------------------------------------------------------------

    def _insert_records(
        self, name: str, records: list[dict[str, Any]], key: str, at: dict[str, int]
    ) -> None:
        """Insert rows on top of a position, which moves on by one.

        Raises:
            PoolMoved: another writer has written to the table.
        """
        table = self._open(name)
        rows = pa.Table.from_pylist(records, schema=table.schema)
        done = table.merge_insert(key).when_not_matched_insert_all().execute(rows)
        self._move_on(name, done.version, at)

    def _move_on(self, name: str, position: int, at: dict[str, int]) -> None:
        """Take note of a write, which must have been the first since the last one."""
        at[name] += 1
        if position != at[name]:
            raise PoolMoved(
                f"Expected to be the only writer of {self.uri}, but another one has written to "
                f"{name} since; nothing of this run is in a version, run again"
            )

    @contextmanager
    def _writing(self) -> Iterator[Held]:
        """The one writer of this pool; write errors said plainly."""
        try:
            with reaching(self.uri), one_writer(self.uri) as require_held:
                yield require_held
        except BAD_FILES as exc:
            raise ArchiveError(
                f"Expected to write the pool {self.uri}, but: {exc}; the last version is whole. "
                "Free some space or mend the folder's rights, then run again"
            ) from exc

    # --- LanceDB -----------------------------------------------------------------------------

    def _exists(self) -> bool:
        with reaching(self.uri):
            return place(self.uri).exists() and "pool" in self._names()

    def _database(self) -> Any:
        return lancedb.connect(self.uri, storage_options=storage_options(self.uri))

    def _names(self) -> list[str]:
        with reaching(self.uri):
            return list(self._database().list_tables().tables)

    def _open(self, name: str) -> Any:
        with reaching(self.uri):
            return self._database().open_table(name)

    def _tags(self, name: str) -> dict[str, int]:
        """Version tags (v1, v2, ...) of a table in order, each with LanceDB's version number."""
        tags = self._readable(self._open(name).tags.list)
        numbered = {k: v["version"] for k, v in tags.items() if version_number(k)}
        return dict(sorted(numbered.items(), key=lambda item: version_number(item[0])))

    def _set_tag(self, name: str, tag: str, position: int) -> None:
        """Put a tag of a table at a position of it."""
        tags = self._open(name).tags
        if tag in tags.list():
            tags.update(tag, position)
        else:
            tags.create(tag, position)

    def _existing(self, version: str | None) -> str:
        """The version asked for, or the latest; raises when there is none."""
        known = self.versions()
        if not known:
            raise UnknownVersion(f"Expected a pool at {self.uri}, but there is none")
        if version is not None and version not in known:
            raise UnknownVersion(
                f"Expected one of {', '.join(known)} of {self.uri}, but got {version!r}"
            )
        return version or known[-1]

    def _at(self, name: str, version: str | int | None) -> Any:
        """A table as a Lance dataset, at a version, at a LanceDB position, or as it stands."""
        table = self._open(name)
        if version is not None:
            table.checkout(version)
        return table.to_lance()

    def _read(
        self, name: str, version: str, columns: list[str] | None, *, where: pc.Expression = None
    ) -> pa.Table:
        return self._readable(
            lambda: self._at(name, version).to_table(columns=columns, filter=where)
        )

    def _schema(self, name: str, version: str) -> pa.Schema:
        return self._readable(lambda: self._at(name, version).schema)

    def _records(self, name: str, version: str) -> Iterator[dict[str, Any]]:
        """Every row of a version as plain values, never more than a batch in memory."""
        for batch in self._batches(name, version, None, WRITE_BATCH):
            yield from plain_rows(batch)

    def _batches(
        self, name: str, version: str, columns: list[str] | None, size: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a version in their order, a few batches read ahead."""
        batches = self._readable(
            lambda: iter(
                self._at(name, version).to_batches(
                    columns=columns,
                    batch_size=size,
                    batch_readahead=BATCHES_AHEAD,
                    io_buffer_size=READ_AHEAD_BYTES,
                )
            )
        )
        while (batch := self._readable(lambda: next(batches, None))) is not None:
            yield batch

    def _ids(self, name: str, version: str | int) -> list[str]:
        """The ids of a table's rows in their order there, at a version or a LanceDB position."""
        read = self._readable(lambda: self._at(name, version).to_table(columns=["id"]))
        ids: list[str] = read["id"].to_pylist()
        return ids

    def _runs(self, version: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._read("runs", version, None).to_pylist()
        return sorted(rows, key=lambda row: version_number(row["version"]))

    def _current_runs(self, version: str) -> list[dict[str, Any]]:
        """Rows of `runs`, of a pool whose tables have every column.

        Raises:
            ArchiveError: an older poolstar wrote the pool.
        """
        expected = {"runs": RUNS_SCHEMA.names, "pool": [one.name for one in fields(PoolRow)]}
        missing = {
            name
            for table, names in expected.items()
            for name in set(names) - set(self._schema(table, version).names)
        }
        if missing:
            raise ArchiveError(
                f"Expected a pool with columns {', '.join(sorted(missing))}, but {self.uri} was "
                "written by an older poolstar; name another pool and grow it from the images again"
            )
        return self._runs(version)

    def _run(self, run_id: str) -> dict[str, Any] | None:
        """A landed run's row, or None."""
        version = self.latest()
        runs = [] if version is None else self._runs(version)
        return next((row for row in runs if row["run_id"] == run_id), None)

    def _readable(self, read: Callable[[], T]) -> T:
        """What `read` gives; a damaged file is PoolBroken."""
        try:
            with reaching(self.uri):
                return read()
        except BAD_FILES as exc:
            raise PoolBroken(
                f"Expected a readable pool at {self.uri}, but: {exc}; restore it from a copy, or "
                "grow it again from its images"
            ) from exc


def version_number(name: str | None) -> int:
    """3 for v3; 0 for what names no version."""
    return int(name[1:]) if name and name[0] == "v" and name[1:].isdecimal() else 0
