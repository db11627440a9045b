"""Rows as they were recorded, whole: what it takes to make an image again and to check its seal."""

from collections.abc import Sequence
from typing import Any

from tasks.domain.errors import UnknownVersion
from tasks.store.lookups import Lookups
from tasks.store.rows import plain_rows
from tasks.store.seals import changed_kinds, seal_of
from tasks.store.tables import among

IMAGE_TABLES = ("pool", "rejected")


class Recorded(Lookups):
    """The rows of a pool's images, pixels and provenance included, a few at a time."""

    def version(self, version: str | None) -> str:
        """The version asked for, or the latest.

        Raises:
            UnknownVersion: there is no pool, or no such version.
            ArchiveError: an older poolstar wrote the pool.
        """
        found = self._existing(version)
        self._current_runs(found)
        return found

    def ids(self, version: str, *, rejected: bool = False) -> list[str]:
        """Ids of the accepted images, sorted; then those of the refused ones, if asked for."""
        tables = IMAGE_TABLES if rejected else IMAGE_TABLES[:1]
        return [name for table in tables for name in sorted(self._ids(table, version))]

    def rows(self, version: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Every column of images by id, in that order.

        Each row says too in which `table` it stands, and which kinds of its columns (see
        `tasks.store.seals`) have `changed` since it landed.

        Raises:
            UnknownVersion: an id is in neither table.
        """
        found: dict[str, dict[str, Any]] = {}
        for table in reversed(IMAGE_TABLES):  # what was refused once and accepted later is accepted
            seals = self._register(table, version, ids)
            read = self._read(table, version, None, where=among("id", ids))
            for row in (one for batch in read.to_batches() for one in plain_rows(batch)):
                changed = changed_kinds(seal_of(row), seals.get(row["id"], ""))
                found[row["id"]] = {"table": table, "changed": changed, **row}
        if missing := [name for name in ids if name not in found]:
            raise UnknownVersion(
                f"Expected images of {self.uri} {version}, but got {', '.join(missing[:3])}; "
                "`poolstar pool ls` lists them"
            )
        return [found[name] for name in ids]

    def source_bytes(self, version: str, ids: Sequence[str]) -> dict[str, bytes]:
        """The bytes of the real images named."""
        table = self._read("sources", version, ["id", "bytes"], where=among("id", sorted(set(ids))))
        return dict(zip(table["id"].to_pylist(), table["bytes"].to_pylist(), strict=True))

    def params_by_run(self, version: str) -> dict[str, str]:
        """Parameters (JSON) of the runs of a version, by the run's id."""
        table = self._read("runs", version, ["run_id", "params"])
        return dict(zip(table["run_id"].to_pylist(), table["params"].to_pylist(), strict=True))
