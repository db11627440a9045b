"""Rows as they were recorded, whole: what it takes to make an image again and to check its seal."""

from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from tasks.domain.errors import UnknownVersion
from tasks.store.rows import row_digest
from tasks.store.tables import PoolTables

IMAGE_TABLES = ("pool", "rejected")


class Recorded(PoolTables):
    """The rows of a pool's images, pixels and provenance included, a few at a time."""

    def version(self, version: str | None) -> str:
        """The version asked for, or the latest.

        Raises:
            UnknownVersion: there is no pool, or no such version.
        """
        return self._existing(version)

    def ids(self, version: str, *, rejected: bool = False) -> list[str]:
        """Ids of the accepted images, sorted; then those of the refused ones, if asked for."""
        tables = IMAGE_TABLES if rejected else IMAGE_TABLES[:1]
        return [
            name
            for table in tables
            for name in sorted(self._read(table, version, ["id"])["id"].to_pylist())
        ]

    def rows(self, version: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Every column of images by id, in that order, and the `table` each stands in.

        Raises:
            UnknownVersion: an id is in neither table.
        """
        found: dict[str, dict[str, Any]] = {}
        for table in reversed(IMAGE_TABLES):  # what was refused once and accepted later is accepted
            for row in self._read(
                table, version, None, where=pc.field("id").isin(list(ids))
            ).to_pylist():
                found[row["id"]] = {"table": table, **row}
        if missing := [name for name in ids if name not in found]:
            raise UnknownVersion(
                f"Expected images of {self.uri} {version}, but got {', '.join(missing[:3])}; "
                "`poolstar pool ls` lists them"
            )
        return [found[name] for name in ids]

    def source_bytes(self, version: str, ids: Sequence[str]) -> dict[str, bytes]:
        """The bytes of the real images named."""
        where = pc.field("id").isin(sorted(set(ids)))
        table = self._read("sources", version, ["id", "bytes"], where=where)
        return dict(zip(table["id"].to_pylist(), table["bytes"].to_pylist(), strict=True))

    def run_params(self, version: str) -> dict[str, str]:
        """Parameters (JSON) of the runs of a version, by the run's id."""
        table = self._read("runs", version, ["run_id", "params"])
        return dict(zip(table["run_id"].to_pylist(), table["params"].to_pylist(), strict=True))


def is_as_landed(row: dict[str, Any]) -> bool:
    """Whether a row still has the digest it was written with."""
    record = {name: value for name, value in row.items() if name != "table"}
    return bool(row_digest(record) == row["digest"])
