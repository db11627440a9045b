"""POOL★: a LanceDB database whose every version is a tag with a manifest that `verify` recomputes.

A version exists from the moment its tag stands on table `pool`; whatever a killed writer left
behind has no tag, is never read, and is rolled back by the next writer.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.domain.errors import BadInput, ModelSetMismatch, UnknownVersion
from tasks.domain.lineage import AdaptationSource
from tasks.domain.version_diff import Standing
from tasks.store.forgetting import Forgetting
from tasks.store.landing import Landing
from tasks.store.lineages import decoded_lineage
from tasks.store.seals import manifest_of
from tasks.store.tables import SEALED
from tasks.store.verification import Verifying

HEAVY = frozenset({"image", "mask", "bead_mask", "embedding", "embedding_image", "models"})
SHORTEST_PREFIX = 8


class Archive(Landing, Verifying, Forgetting):
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
        ranks = self._read("pool", version, ["id", "s_i"], where=where)
        order = ranks.sort_by([("s_i", "descending"), ("id", "ascending")])["id"].to_pylist()
        if limit is not None and limit < len(order):
            order = order[:limit]
            where = pc.field("id").isin(order)
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
        found = self._read(table, version, names, where=pc.field("id").isin(list(ids)))
        rows = {row["id"]: row for row in found.to_pylist()}
        if missing := [i for i in ids if i not in rows]:
            raise UnknownVersion(f"Expected {missing[:3]} in {table} of {self.uri} {version}")
        return [rows[i] for i in ids]

    def sources(self, version: str | None = None) -> Iterator[dict[str, Any]]:
        """id, uri, label and bytes of the real images that fed a version, a batch in memory."""
        return self._records("sources", self._existing(version))

    def source(self, source_id: str, version: str | None = None) -> dict[str, Any]:
        """id, uri, label and bytes of one real image.

        Raises:
            UnknownVersion: the version does not hold it.
        """
        where = pc.field("id") == source_id
        found = self._read("sources", self._existing(version), None, where=where).to_pylist()
        if not found:
            raise UnknownVersion(f"Expected a source of {self.uri}, but got {source_id!r}")
        return dict(found[0])

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

    def run(self, run_id: str) -> dict[str, Any]:
        """The row of a landed run.

        Raises:
            UnknownVersion: it has not landed here.
        """
        found = self._run(run_id)
        if found is None:
            raise UnknownVersion(f"Expected a run of {self.uri}, but got {run_id!r}")
        return found

    def run_params(self) -> list[str]:
        """The parameters of every run of the pool, as JSON texts, oldest first."""
        return [run["params"] for run in self._current_runs(self._existing(None))]

    def places_of(self, source_id: str) -> list[str]:
        """Where a source was read from; empty when the pool does not hold it."""
        where = pc.field("id") == source_id
        found = self._read("sources", self._existing(None), ["uri"], where=where)
        return list(found["uri"].to_pylist())

    def painted_by(self, fingerprint: str) -> int:
        """How many images of a model set the pool holds, accepted or rejected."""
        version = self._existing(None)
        runs = self._current_runs(version)
        mine = [run["run_id"] for run in runs if run["model_set_fingerprint"] == fingerprint]
        where = pc.field("run_id").isin(mine)
        return sum(
            self._read(name, version, ["run_id"], where=where).num_rows
            for name in ("pool", "rejected")
        )

    def lineage_text(self, fingerprint: str) -> str:
        """The lineage of a model set as the pool keeps it; empty for one that learned nothing."""
        runs = self._current_runs(self._existing(None))
        found = (run["lineage"] for run in runs if run["model_set_fingerprint"] == fingerprint)
        return next(filter(None, found), "")

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

    def versions_of(self, row_id: str) -> list[str]:
        """The versions in which an image stands, accepted or rejected, oldest first."""
        where = pc.field("id") == row_id
        return [
            version
            for version in self.versions()
            if any(self._read(n, version, ["id"], where=where) for n in ("pool", "rejected"))
        ]

    def image_id(self, text: str, version: str | None = None) -> str:
        """The id of the one image that a text names: all of its id, or the first 8 digits or more.

        Raises:
            BadInput: it names several.
            UnknownVersion: it names none.
        """
        version = self._existing(version)
        found: set[str] = set()
        for name in ("pool", "rejected"):
            ids = self._read(name, version, ["id"])["id"]
            if pc.is_in(pa.scalar(text), value_set=ids).as_py():
                return text
            if len(text) >= SHORTEST_PREFIX:
                found |= set(ids.filter(pc.starts_with(ids, text)).to_pylist())
        if len(found) == 1:
            return found.pop()
        if found:
            raise BadInput(
                f"Expected one image, but {text} may be {', '.join(sorted(found)[:5])}"
                f"{', ...' if len(found) > 5 else ''}; give more of its id"
            )
        graves = [grave for grave in self.tombstones() if grave.names(text)]
        why = f"; it was {graves[0].reason}" if graves else ""
        raise UnknownVersion(
            f"Expected an image of {self.uri} {version}, by its id or the first {SHORTEST_PREFIX} "
            f"digits or more, but got {text!r}{why}"
        )

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
