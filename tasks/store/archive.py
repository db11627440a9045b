"""POOL★: a LanceDB database whose every version is a tag with a manifest that `verify` recomputes.

A version exists from the moment its tag stands on table `pool`; whatever a killed writer left
behind has no tag, is never read, and is rolled back by the next writer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import lancedb
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.domain.errors import (
    ModelSetMismatch,
    PoolBroken,
    UnknownVersion,
)
from tasks.domain.lineage import AdaptationSource
from tasks.store.lineages import decoded_lineage
from tasks.store.rows import (
    RUNS_SCHEMA,
    PoolRow,
    RejectedRow,
    RunRow,
    SourceRow,
    as_record,
    manifest_of,
    pool_schema,
    row_digest,
    sources_schema,
)
from tasks.store.tables import CHAMPION, TABLES, WRITE_BATCH, PoolTables

HEAVY = frozenset(
    {"image", "mask", "bead_mask", "embedding", "embedding_image", "models", "digest"}
)


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


class Archive(PoolTables):
    """A pool at a folder or s3:// URI. Reading never creates anything."""

    # --- reading -----------------------------------------------------------------------------

    def require_model_set(self, embedder_fingerprint: str) -> None:
        """Check that the pool is new, or that all its embeddings come from this embedder.

        Raises:
            ModelSetMismatch: they come from another one and cannot be compared.
            ArchiveError: an older poolstar wrote the pool.
        """
        version = self.latest()
        if version is None:
            return
        held = {row["embedder_fingerprint"] for row in self._current_runs(version)}
        if held != {embedder_fingerprint}:
            raise ModelSetMismatch(
                f"Expected a pool measured by embedder {embedder_fingerprint[:12]}, but {self.uri} "
                f"was measured by {', '.join(sorted(h[:12] for h in held))}; name another pool, or "
                "a model set that shares its embedder"
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

    def labels(self, table: str, version: str | None = None) -> list[dict[str, Any]]:
        """id, source_id, kind, is_placebo and generation of `pool` or `rejected`, sorted by id.

        Rejected rows carry their `stage` too.
        """
        columns = ["id", "source_id", "kind", "is_placebo", "generation"]
        columns += ["stage"] if table == "rejected" else []
        rows = self._read(table, self._existing(version), columns).to_pylist()
        return sorted(rows, key=lambda row: row["id"])

    def images(self, table: str, version: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of `pool` or `rejected` by id, in that order, pixels included, embeddings not.

        Raises:
            UnknownVersion: an id is not there.
        """
        version = self._existing(version)
        heavy = {"embedding", "embedding_image", "models", "digest"}
        names = [name for name in self._schema(table, version).names if name not in heavy]
        found = self._read(table, version, names, where=pc.field("id").isin(list(ids)))
        rows = {row["id"]: row for row in found.to_pylist()}
        if missing := [i for i in ids if i not in rows]:
            raise UnknownVersion(f"Expected {missing[:3]} in {table} of {self.uri} {version}")
        return [rows[i] for i in ids]

    def sources(self, version: str | None = None) -> list[dict[str, Any]]:
        """id, uri, label and bytes of the real images that fed a version."""
        names = ["id", "uri", "label", "bytes"]
        return list(self._read("sources", self._existing(version), names).to_pylist())

    def lineages(
        self, version: str | None = None
    ) -> list[tuple[tuple[AdaptationSource, ...], NDArray[np.float32]]]:
        """What the model sets of a version were trained on, each set's lineage once.

        Returns:
            The sources of each, and (n, SIDE_PX^2) their fine structure, rows of length 1.

        Raises:
            ArchiveError: an older poolstar wrote the pool.
        """
        runs = self._current_runs(self._existing(version))
        texts = [run["lineage"] for run in runs if run["lineage"]]
        return self._readable(lambda: [decoded_lineage(text) for text in texts])

    def manifests(self, version: str | None = None) -> dict[str, str]:
        """The recorded manifest of each table of a version, and one of its `lineages`."""
        version = self._existing(version)
        runs = self._current_runs(version)
        run = next(row for row in runs if row["version"] == version)
        kept = {row["model_set_fingerprint"]: row["lineage"] for row in runs if row["lineage"]}
        tables = {name: run[f"{name}_manifest"] for name in ("pool", "rejected", "sources")}
        return tables | {"lineages": manifest_of(kept)}

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
            ArchiveError: the disk is full, the pool cannot be written, or an older poolstar did.
        """
        with self._writing():
            self._roll_back()
            if (landed := self._run(run.run_id)) is not None:
                return LandedVersion(
                    landed["version"], landed["pool_manifest"], landed["accepted"], landed["rows"]
                )
            self._create_tables(embedding_dim)
            before = self.latest()
            kept = set() if before is None else self._kept_lineages(before)
            version = f"v{1 if before is None else int(before[1:]) + 1}"
            held = self._open("pool").count_rows()
            self._insert("rejected", rejected)
            self._insert("sources", sources)
            self._insert("pool", pool)
            figures = self._summary(run, version, held)
            if run.model_set_fingerprint in kept:
                figures["lineage"] = ""
            self._insert_records("runs", [figures], "run_id")
            for name in TABLES:
                table = self._open(name)
                table.tags.create(version, table.version)
        return LandedVersion(
            version, figures["pool_manifest"], figures["accepted"], figures["rows"]
        )

    def _kept_lineages(self, version: str) -> set[str]:
        """Fingerprints of the model sets whose lineage stands in a version already."""
        runs = self._current_runs(version)
        return {run["model_set_fingerprint"] for run in runs if run["lineage"]}

    def _create_tables(self, dim: int) -> None:
        """Empty tables where there are none yet."""
        schemas = {
            "pool": pool_schema(dim), "rejected": pool_schema(dim, rejected=True),
            "sources": sources_schema(dim), "runs": RUNS_SCHEMA,
        }  # fmt: skip
        for name in set(TABLES) - set(self._names()):
            lancedb.connect(self.uri).create_table(name, schema=schemas[name])

    def _insert(self, name: str, rows: Iterable[PoolRow | SourceRow]) -> None:
        """Insert rows whose id is not there yet, a batch at a time."""
        rest = iter(rows)
        while batch := [as_record(row) for row in islice(rest, WRITE_BATCH)]:
            self._insert_records(name, batch, "id")

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
                was, now = tags[version], table.version
                table.tags.update(version, now)
                if table.tags.list().get(CHAMPION, {}).get("version") == was:
                    table.tags.update(CHAMPION, now)
