"""POOL★: a LanceDB database whose every version is a tag with a manifest that `verify` recomputes.

A version exists from the moment its tag stands on table `pool`; whatever a killed writer left
behind has no tag, is never read, and is rolled back by the next writer.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from upath import UPath

from tasks.domain.errors import (
    ArchiveError,
    ModelSetMismatch,
    PoolBroken,
    PoolLocked,
    UnknownVersion,
)
from tasks.store.rows import (
    RUNS_SCHEMA,
    SOURCES_SCHEMA,
    PoolRow,
    RejectedRow,
    RunRow,
    SourceRow,
    as_record,
    manifest_of,
    pool_schema,
    row_digest,
)

T = TypeVar("T")
TABLES = ("rejected", "sources", "runs", "pool")  # tagged in this order: pool's tag is the commit
HEAVY = frozenset(
    {"image", "mask", "bead_mask", "embedding", "embedding_image", "models", "digest"}
)
WRITE_BATCH = 64
LOCK_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class LandedVersion:
    """A committed version: its manifest, the rows it added, and the rows it holds."""

    version: str
    manifest: str
    accepted: int
    rows: int


@dataclass(frozen=True)
class Verification:
    """Whether a version is as it was written; `problems` names every row that is not."""

    ok: bool
    version: str
    manifest: str
    rows: int
    problems: tuple[str, ...]


class Archive:
    """A pool at a folder or s3:// URI. Reading never creates anything."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    # --- reading -----------------------------------------------------------------------------

    def versions(self) -> list[str]:
        """All versions, oldest first; empty when there is no pool yet."""
        return list(self._tags("pool")) if self._exists() else []

    def latest(self) -> str | None:
        """The newest version, or None."""
        versions = self.versions()
        return versions[-1] if versions else None

    def require_model_set(self, fingerprint: str) -> None:
        """Raises ModelSetMismatch unless the pool is new or holds this model set's embeddings."""
        version = self.latest()
        if version is None:
            return
        held = set(self._read("runs", version, ["model_set_fingerprint"]).to_pydict().popitem()[1])
        if held != {fingerprint}:
            raise ModelSetMismatch(
                f"Expected a pool grown by model set {fingerprint[:12]}, but {self.uri} was grown "
                f"by {', '.join(sorted(h[:12] for h in held))}; name another pool"
            )

    def base_version_for(self, run_id: str) -> str | None:
        """The version a run starts from: where it started before, if it has landed already."""
        row = self._run(run_id)
        return self.latest() if row is None else row["base_version"]

    def embeddings(self, version: str | None) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
        """ids (n,) and unit rows (n, d) of a version; empty for None."""
        if version is None:
            return np.zeros(0, dtype="<U32"), np.zeros((0, 0), dtype=np.float32)
        table = self._read("pool", version, ["id", "embedding"])
        rows = table["embedding"].combine_chunks()
        dim = rows.type.list_size
        return (
            np.array(table["id"].to_pylist(), dtype="<U32"),
            np.asarray(rows.flatten().to_numpy(), dtype=np.float32).reshape(-1, dim),
        )

    def list_rows(
        self, version: str | None = None, *, kind: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows of `pool` without pixels and embeddings, best S_i first."""
        version = self._existing(version)
        names = [name for name in self._schema("pool", version).names if name not in HEAVY]
        where = None if kind is None else pc.field("kind") == kind
        rows = self._read("pool", version, names, where=where).to_pylist()
        return sorted(rows, key=lambda row: (-row["s_i"], row["id"]))[:limit]

    def row(self, row_id: str, version: str | None = None) -> dict[str, Any]:
        """All columns of one accepted or rejected image, and in which `table` it stands.

        Raises:
            UnknownVersion: no such row.
        """
        version = self._existing(version)
        for name in ("pool", "rejected"):
            found = self._read(name, version, None, where=pc.field("id") == row_id).to_pylist()
            if found:
                return {"table": name, **found[0]}
        raise UnknownVersion(f"Expected an image of {self.uri} {version}, but got id {row_id!r}")

    def verify(self, version: str | None = None) -> Verification:
        """Recompute every digest and manifest of a version from its bytes."""
        version = self._existing(version)
        run = next(row for row in self._runs(version) if row["version"] == version)
        problems: list[str] = []
        manifests, counts = {}, {}
        for name in ("pool", "rejected", "sources"):
            digests = {}
            for record in self._records(name, version):
                digests[record["id"]] = row_digest(record)
                if digests[record["id"]] != record["digest"]:
                    problems.append(f"{name}: row {record['id']} is not as it was written")
            manifests[name], counts[name] = manifest_of(digests), len(digests)
            if manifests[name] != run[f"{name}_manifest"]:
                problems.append(
                    f"{name}: manifest {manifests[name][:12]}, "
                    f"recorded {run[f'{name}_manifest'][:12]}"
                )
        if self._times(version) != run["pool_times"]:
            problems.append("pool: a created_at is not as it was written")
        return Verification(
            not problems, version, manifests["pool"], counts["pool"], tuple(problems)
        )

    # --- writing -----------------------------------------------------------------------------

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
            ArchiveError: the disk is full or the pool cannot be written.
        """
        with self._writing():
            self._roll_back()
            if (landed := self._run(run.run_id)) is not None:
                return LandedVersion(
                    landed["version"], landed["pool_manifest"], landed["accepted"], landed["rows"]
                )
            self._create_tables(embedding_dim)
            before = self.latest()
            version = f"v{1 if before is None else int(before[1:]) + 1}"
            held = self._open("pool").count_rows()
            self._insert("rejected", rejected)
            self._insert("sources", sources)
            self._insert("pool", pool)
            figures = self._summary(run, version, held)
            self._insert_records("runs", [figures], "run_id")
            for name in TABLES:
                table = self._open(name)
                table.tags.create(version, table.version)
        return LandedVersion(
            version, figures["pool_manifest"], figures["accepted"], figures["rows"]
        )

    def _create_tables(self, dim: int) -> None:
        """Empty tables where there are none yet."""
        schemas = {
            "pool": pool_schema(dim), "rejected": pool_schema(dim, rejected=True),
            "sources": SOURCES_SCHEMA, "runs": RUNS_SCHEMA,
        }  # fmt: skip
        for name in set(TABLES) - set(self._names()):
            lancedb.connect(self.uri).create_table(name, schema=schemas[name])

    def _insert(self, name: str, rows: Iterable[PoolRow | SourceRow]) -> None:
        """Insert rows whose id is not there yet, a batch at a time."""
        rest = iter(rows)
        while batch := [as_record(row) for row in islice(rest, WRITE_BATCH)]:
            self._insert_records(name, batch, "id")

    def _insert_records(self, name: str, records: list[dict[str, Any]], key: str) -> None:
        table = self._open(name)
        rows = pa.Table.from_pylist(records, schema=table.schema)
        table.merge_insert(key).when_not_matched_insert_all().execute(rows)

    def _summary(self, run: RunRow, version: str, held: int) -> dict[str, Any]:
        """The row of table `runs`: the run and the manifests of the version it makes."""
        manifests, rows = {}, 0
        for name in ("pool", "rejected", "sources"):
            stored = self._open(name).to_lance().to_table(columns=["id", "digest"])
            digests = dict(zip(*stored.to_pydict().values(), strict=True))
            if len(digests) != stored.num_rows:
                raise PoolBroken(f"Expected every id once in {name} of {self.uri}, but some repeat")
            manifests[f"{name}_manifest"] = manifest_of(digests)
            rows = stored.num_rows if name == "pool" else rows
        return {
            **asdict(run), **manifests, "version": version, "accepted": rows - held,
            "rows": rows, "pool_times": self._times(None),
        }  # fmt: skip

    def _roll_back(self) -> None:
        """Undo what a killed writer left: tables and tags that no tag of `pool` vouches for."""
        version, names = self.latest(), self._names()
        for name in TABLES:
            if name not in names:
                continue
            if version is None:
                lancedb.connect(self.uri).drop_table(name)
                continue
            table, tags = self._open(name), self._tags(name)
            for tag in set(tags) - set(self._tags("pool")):
                table.tags.delete(tag)
            if table.version != tags[version]:
                table.checkout(tags[version])
                table.restore()
                table.tags.update(version, table.version)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The one writer of this pool on this machine; write errors said plainly."""
        lock = self._lock_path()
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout as exc:
            raise PoolLocked(
                f"Expected to write {self.uri}, but another run holds {lock}; try again later"
            ) from exc
        except (OSError, RuntimeError, ValueError, pa.ArrowException) as exc:
            raise ArchiveError(
                f"Expected to write the pool {self.uri}, but: {exc}; the last version is whole. "
                "Free some space or mend the folder's rights, then run again"
            ) from exc

    def _lock_path(self) -> Path:
        """Beside a local pool; for a remote one in the user's cache, so it holds a machine."""
        if "://" not in self.uri:
            return Path(f"{self.uri}.lock")
        name = hashlib.sha256(self.uri.encode()).hexdigest()[:16]
        return Path.home() / ".cache" / "poolstar" / f"{name}.lock"

    # --- LanceDB -----------------------------------------------------------------------------

    def _exists(self) -> bool:
        return UPath(self.uri).exists() and "pool" in self._names()

    def _names(self) -> list[str]:
        return list(lancedb.connect(self.uri).list_tables().tables)

    def _open(self, name: str) -> Any:
        return lancedb.connect(self.uri).open_table(name)

    def _tags(self, name: str) -> dict[str, int]:
        """Version tags (v1, v2, ...) of a table in order, each with LanceDB's version number."""
        tags = self._readable(self._open(name).tags.list)
        numbered = {k: v["version"] for k, v in tags.items() if k[0] == "v" and k[1:].isdigit()}
        return dict(sorted(numbered.items(), key=lambda item: int(item[0][1:])))

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

    def _at(self, name: str, version: str | None) -> Any:
        """A table as a Lance dataset, at a version or as it stands while writing."""
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
        batches = self._readable(
            lambda: iter(self._at(name, version).to_batches(batch_size=WRITE_BATCH))
        )
        while (batch := self._readable(lambda: next(batches, None))) is not None:
            yield from batch.to_pylist()

    def _times(self, version: str | None) -> str:
        """A digest of the rows' times of making."""
        table = self._at("pool", version).to_table(columns=["id", "created_at"])
        return manifest_of(dict(zip(*table.to_pydict().values(), strict=True)))

    def _runs(self, version: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._read("runs", version, None).to_pylist()
        return rows

    def _run(self, run_id: str) -> dict[str, Any] | None:
        """A landed run's row, or None."""
        version = self.latest()
        runs = [] if version is None else self._runs(version)
        return next((row for row in runs if row["run_id"] == run_id), None)

    def _readable(self, read: Callable[[], T]) -> T:
        """What `read` gives; a damaged file is PoolBroken."""
        try:
            return read()
        except (OSError, RuntimeError, ValueError, pa.ArrowException) as exc:
            raise PoolBroken(
                f"Expected a readable pool at {self.uri}, but: {exc}; restore it from a copy, or "
                "grow it again from its images"
            ) from exc
