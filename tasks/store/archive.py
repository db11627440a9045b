"""POOL★: a LanceDB database whose every version is a tag with a manifest that `verify` recomputes.

A version exists from the moment its tag stands on table `pool`; whatever a killed writer left
behind has no tag, is never read, and is rolled back by the next writer.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.domain.errors import ModelSetMismatch, UnknownVersion
from tasks.domain.lineage import AdaptationSource
from tasks.domain.version_diff import Standing
from tasks.store.forgetting import Forgetting
from tasks.store.landing import Landing
from tasks.store.lineages import decoded_lineage
from tasks.store.lookups import Lookups
from tasks.store.seals import manifest_of
from tasks.store.tables import SEALED, among, vectors
from tasks.store.verification import Verifying

EMBEDDINGS_AT_ONCE = 8192
HEAVY = frozenset({"image", "mask", "bead_mask", "embedding", "embedding_image", "models"})


class Archive(Landing, Verifying, Forgetting, Lookups):
    """A pool at a folder or s3:// URI. Reading never creates anything."""

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

    def embeddings(self, version: str | None) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """ids (m,) and unit rows (m, d) of a version, a batch in memory; nothing for None."""
        if version is None:
            return
        for batch in self._batches("pool", version, ["id", "embedding"], EMBEDDINGS_AT_ONCE):
            yield batch["id"].to_pylist(), vectors(batch["embedding"])

    def embeddings_sha256(self, version: str | None) -> str:
        """The digest of a version's ids and embeddings in their order."""
        digest = hashlib.sha256()
        for ids, rows in self.embeddings(version):
            digest.update("\n".join(ids).encode())
            digest.update(np.ascontiguousarray(rows).data)
        return digest.hexdigest()

    def list_rows(
        self, version: str | None = None, *, kind: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows of `pool` without pixels and embeddings, best S_i first."""
        version = self._existing(version)
        names = [name for name in self._schema("pool", version).names if name not in HEAVY]
        where = None if kind is None else pc.field("kind") == kind
        ranks = self._read("pool", version, ["id", "s_i"], where=where)
        order = ranks.sort_by([("s_i", "descending"), ("id", "ascending")])["id"].to_pylist()
        if limit is not None and limit < len(order):
            order = order[:limit]
            where = among("id", order)
        rows = {
            row["id"]: row for row in self._read("pool", version, names, where=where).to_pylist()
        }
        return [rows[key] for key in order]

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
        heavy = {"embedding", "embedding_image", "models"}
        names = [name for name in self._schema(table, version).names if name not in heavy]
        found = self._read(table, version, names, where=among("id", ids))
        rows = {row["id"]: row for row in found.to_pylist()}
        if missing := [i for i in ids if i not in rows]:
            raise UnknownVersion(f"Expected {missing[:3]} in {table} of {self.uri} {version}")
        return [rows[i] for i in ids]

    def sources(self, version: str | None = None) -> Iterator[dict[str, Any]]:
        """id, uri, label and bytes of the real images that fed a version, a batch in memory."""
        return self._records("sources", self._existing(version))

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
        """The manifest of what each table holds at a version, and one of its `lineages`.

        Where nothing was withdrawn since, they are the ones recorded when it landed.
        """
        version = self._existing(version)
        runs = self._current_runs(version)
        kept = {row["model_set_fingerprint"]: row["lineage"] for row in runs if row["lineage"]}
        found = {"lineages": hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()}
        gone = [grave.withdrawn for grave in self.tombstones()]
        for name in SEALED:
            away = {key for rows in gone for key in rows.get(name, ())}
            found[name] = manifest_of(self._standing(name, version, away))
        return found

    def standings(self, version: str | None = None) -> dict[str, Standing]:
        """Every image of a version by id; one that stands in both tables is accepted."""
        version, found = self._existing(version), dict[str, Standing]()
        for name in ("rejected", "pool"):
            kept = set(self._schema(name, version).names)
            columns = [one for one in Standing.model_fields if one in kept]
            for batch in self._read(name, version, columns).to_batches():
                for row in batch.to_pylist():
                    found[row["id"]] = Standing(**row, accepted=name == "pool")
        return found

    def withdrawn_from(self, version: str) -> list[str]:
        """Ids of the images that a version held and that were withdrawn since, sorted."""
        version = self._existing(version)
        graves = [grave for grave in self.tombstones() if grave.is_after(version)]
        found: set[str] = set()
        for name in ("pool", "rejected"):
            gone = {key for grave in graves for key in grave.withdrawn.get(name, ())}
            found |= gone & set(self._register(name, version))
        return sorted(found)
