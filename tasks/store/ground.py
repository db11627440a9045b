"""What a pool's versions are measured by: real images and accepted ones, as their looks.

Of a version at most `SAMPLE` images are read, the first by id: ids are hashes, so that is a random
sample, and the same one each time. Placebos are no defects and are left out.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.domain.drift import Added, Looks
from tasks.domain.errors import ArchiveError
from tasks.domain.funnel import Funnel
from tasks.domain.lineage import guarded_generation
from tasks.domain.pose import region_pose
from tasks.store.images import decoded_mask
from tasks.store.rows import sources_schema
from tasks.store.tables import WRITE_BATCH, PoolTables, among, vectors

SAMPLE = 5000


class Ground(PoolTables):
    """A pool, as what information and drift ask of it."""

    def real(self, version: str | None = None, *, defects_only: bool = False) -> Looks:
        """The real images that fed a version, one row each.

        Raises:
            ArchiveError: an older poolstar wrote the pool.
            UnknownVersion: there is no such version.
        """
        version = self._existing(version)
        columns = ["id", "kind", "embedding", "defect_angle_deg", "defect_share"]
        if missing := set(sources_schema(1).names) - set(self._schema("sources", version).names):
            raise ArchiveError(
                f"Expected sources with {', '.join(sorted(missing))}, but {self.uri} was written "
                "by an older poolstar; grow another pool from the images again"
            )
        where = pc.field("label") == "KO" if defects_only else None
        table = self._read("sources", version, columns, where=where).sort_by("id")
        return Looks(
            _names(table["kind"]), _names(table["id"]), vectors(table["embedding"]),
            _floats(table["defect_angle_deg"]), _floats(table["defect_share"]),
        )  # fmt: skip

    def made(self, version: str | None = None) -> Looks:
        """The accepted defects of a version, without poses."""
        version = self._existing(version)
        ids = sorted(self._defects(version))[:SAMPLE]
        table = self._of(version, ids, ["id", "source_id", "kind", "embedding"])
        nothing = np.full(table.num_rows, np.nan)
        return _looks(table, nothing, nothing)

    def added(self, version: str) -> Added:
        """What a version added to the one before it."""
        known = self.versions()
        place = known.index(self._existing(version))
        before = known[place - 1] if place else None
        old = set() if before is None else self._defects(before)
        new = self._defects(version)
        ids = sorted(set(new) - set(old))[:SAMPLE]
        table = self._of(version, ids, ["id", "source_id", "kind", "embedding"])
        poses = self._poses(version, ids)
        angles = np.array([poses[one][0] for one in table["id"].to_pylist()], dtype=np.float64)
        shares = np.array([poses[one][1] for one in table["id"].to_pylist()], dtype=np.float64)
        fresh = self._source_ids(version) - (self._source_ids(before) if before else set())
        sources, asked = self._run_that_made(version)
        return Added(
            version=version,
            looks=_looks(table, angles, shares),
            generation=max((new[one] for one in ids), default=0),
            fresh=len(fresh),
            sources=sources,
            asked=asked,
        )

    def pixels(self, table: str, version: str, block: int) -> Iterator[list[dict[str, Any]]]:
        """Blocks of rows of `pool`, `rejected` or `sources`: id, and `image` as encoded bytes.

        Synthetic ones with their source_id and generation.
        """
        more = [] if table == "sources" else ["source_id", "generation"]
        bytes_of = "bytes" if table == "sources" else "image"
        dataset = self._readable(lambda: self._at(table, version))
        batches = dataset.to_batches(columns=["id", bytes_of, *more], batch_size=block)
        while (batch := self._readable(lambda: next(batches, None))) is not None:
            rows = batch.to_pylist()
            yield [_seen(row, bytes_of) for row in rows]

    def _defects(self, version: str) -> dict[str, int]:
        """Generation of each accepted defect by id."""
        where = ~pc.field("is_placebo")
        table = self._read("pool", version, ["id", "generation"], where=where)
        generations = map(guarded_generation, table["generation"].to_pylist())
        return dict(zip(table["id"].to_pylist(), generations, strict=True))

    def _of(self, version: str, ids: list[str], columns: list[str]) -> pa.Table:
        table = self._read("pool", version, columns, where=among("id", ids))
        return table.sort_by("id")

    def _poses(self, version: str, ids: list[str]) -> dict[str, tuple[float, float]]:
        """Angle and share of each region, a few masks in memory at a time."""
        poses: dict[str, tuple[float, float]] = {}
        columns = ["id", "mask", "bead_mask", "window_xywh"]
        for start in range(0, len(ids), WRITE_BATCH):
            some = ids[start : start + WRITE_BATCH]
            for row in self._of(version, some, columns).to_pylist():
                region, bead = decoded_mask(row["mask"]), decoded_mask(row["bead_mask"])
                poses[row["id"]] = region_pose(region, bead, int(row["window_xywh"][2]))
        return poses

    def _source_ids(self, version: str) -> set[str]:
        return set(self._read("sources", version, ["id"])["id"].to_pylist())

    def _run_that_made(self, version: str) -> tuple[int, frozenset[str]]:
        """Real images that fed the run which made a version, and the kinds it was asked for."""
        where = pc.field("version") == version
        (row,) = self._read("runs", version, ["funnel", "params"], where=where).to_pylist()
        asked = frozenset(spec["kind"] for spec in json.loads(row["params"]).get("prompts", ()))
        return Funnel.model_validate_json(row["funnel"]).sources, asked


def _seen(row: dict[str, Any], bytes_of: str) -> dict[str, Any]:
    """A row with its bytes as `image`, and the generation that is guarded against."""
    told = {**row, "image": row.pop(bytes_of)}
    if "generation" in told:
        told["generation"] = guarded_generation(told["generation"])
    return told


def _looks(table: pa.Table, angles: NDArray[np.float64], shares: NDArray[np.float64]) -> Looks:
    return Looks(
        _names(table["kind"]),
        _names(table["source_id"]),
        vectors(table["embedding"]),
        angles,
        shares,
    )


def _names(column: Any) -> NDArray[np.str_]:
    return np.array(column.to_pylist(), dtype=np.str_)


def _floats(column: Any) -> NDArray[np.float64]:
    values = [np.nan if one is None else one for one in column.to_pylist()]
    return np.array(values, dtype=np.float64)
