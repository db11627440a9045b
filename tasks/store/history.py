"""A pool's history: its runs in a chain, the seals of every row it ever held, and its tombstones.

Table `seals` is only added to: it keeps the seal of a row after the row has been withdrawn, so
that the manifests of old versions can still be recomputed. Each run's seal covers the seal of the
run before it, so that history cannot be rewritten without its last seal changing.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import lancedb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError
from upath import UPath

from tasks.domain.errors import ArchiveError, PoolBroken
from tasks.domain.tombstone import Tombstone
from tasks.store.rows import SEALS_SCHEMA, RunRow
from tasks.store.seals import manifest_of, seal_of, times_of
from tasks.store.tables import SEALED, TABLES, PoolTables, among

JOURNAL = "forgetting.json"


@dataclass(frozen=True)
class LandedVersion:
    """A committed version: its manifest, the rows it added, and the rows it holds."""

    version: str
    manifest: str
    accepted: int
    rows: int


class PoolHistory(PoolTables):
    """What a pool's versions say of themselves, and how the next one is committed."""

    def tombstones(self) -> tuple[Tombstone, ...]:
        """The sources withdrawn from this pool, oldest first."""
        version = self.latest()
        rows = [] if version is None else self._current_runs(version)
        return self._readable(lambda: tombstones_of(rows))

    def _register(
        self, name: str, version: str | None, ids: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The seal of each row, or of some, that a table held up to a version or up to now."""
        mine = pc.field("table_name") == name
        if ids is not None:
            mine &= among("id", ids)
        read = self._readable(
            lambda: self._at("seals", version).to_table(columns=["id", "seal"], filter=mine)
        )
        ids, seals = read.to_pydict().values()
        return {str(key): str(seal) for key, seal in zip(ids, seals, strict=True)}

    def _standing(self, name: str, version: str | None, gone: set[str]) -> dict[str, str]:
        """The seals of the rows that a table should hold, once those withdrawn are gone."""
        return {key: seal for key, seal in self._register(name, version).items() if key not in gone}

    # --- writing -----------------------------------------------------------------------------

    def _journal(self) -> Tombstone | None:
        """The withdrawal that was begun and has not ended, or None."""
        try:
            text = (UPath(self.uri) / JOURNAL).read_text()
        except FileNotFoundError:
            return None
        return self._readable(lambda: Tombstone.model_validate_json(text))

    def require_settled(self) -> None:
        """Refuse to go on beside a withdrawal that was killed.

        Raises:
            ArchiveError: there is one.
        """
        if (pending := self._journal()) is not None:
            raise ArchiveError(
                f"Expected a settled pool, but a withdrawal from {self.uri} has not ended; run "
                f"`poolstar pool forget {pending.source_id} --pool {self.uri}` again"
            )

    def _seal(self, name: str, seals: dict[str, str]) -> None:
        """Note the seals of rows that were just inserted, by id."""
        rows = [{"table_name": name, "id": key, "seal": seal} for key, seal in seals.items()]
        if rows:
            self._open("seals").add(pa.Table.from_pylist(rows, schema=SEALS_SCHEMA))

    def _commit(
        self,
        run: RunRow,
        version: str,
        *,
        held: int,
        tombstone: Tombstone | None = None,
        positions: dict[str, dict[str, int]] | None = None,
    ) -> LandedVersion:
        """Close a version over what the tables now hold: its run, sealed, and then its tags.

        `positions` are those of older versions, where they have moved.
        """
        before = self.latest()
        earlier = [] if before is None else self._current_runs(before)
        graves = tombstones_of(earlier) + (() if tombstone is None else (tombstone,))
        figures = self._manifests(graves)
        runs = self._open("runs")
        here = {name: self._open(name).version for name in TABLES} | {"runs": runs.version + 1}
        row = asdict(run) | figures | {
            "version": version,
            "accepted": figures["rows"] - held,
            "positions": json.dumps((positions or {}) | {version: here}),
            "tombstone": "" if tombstone is None else tombstone.model_dump_json(),
            "previous": earlier[-1]["seal"] if earlier else "",
        }  # fmt: skip
        row["seal"] = seal_of(row)
        self._insert_records("runs", [row], "run_id")
        if (now := self._open("runs").version) != here["runs"]:
            raise PoolBroken(f"Expected runs of {self.uri} at {here['runs']}, but it is at {now}")
        for name in TABLES:
            table = self._open(name)
            table.tags.create(version, table.version)
        return LandedVersion(version, row["pool_manifest"], row["accepted"], row["rows"])

    def _manifests(self, graves: tuple[Tombstone, ...]) -> dict[str, Any]:
        """Rows, manifests and times of what the tables now hold."""
        figures: dict[str, Any] = {}
        times: dict[str, str] = {}
        for name in SEALED:
            gone = {key for grave in graves for key in grave.withdrawn.get(name, ())}
            seals, ids = self._standing(name, None, gone), self._ids(name, None)
            if len(ids) != len(seals) or set(ids) != set(seals):
                raise PoolBroken(
                    f"Expected every sealed row once in {name} of {self.uri}, but some repeat, "
                    "lack or were never sealed; run `poolstar pool verify`"
                )
            figures[f"{name}_manifest"] = manifest_of(seals)
            times |= {f"{name} {key}": seal for key, seal in seals.items()}
            if name == "pool":
                figures["rows"] = len(ids)
        return figures | {"times": times_of(times)}

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


def tombstones_of(runs: list[dict[str, Any]]) -> tuple[Tombstone, ...]:
    """The tombstones that runs have set, oldest first.

    Raises:
        ValueError: one is damaged.
    """
    texts = [row["tombstone"] for row in runs if row["tombstone"]]
    return tuple(Tombstone.model_validate_json(text) for text in texts)


def readable_tombstones(runs: list[dict[str, Any]]) -> tuple[Tombstone, ...]:
    """The tombstones that can be read; the damage of others is for the runs' seals to tell."""
    found: list[Tombstone] = []
    for row in runs:
        try:
            found += tombstones_of([row])
        except ValidationError:
            continue
    return tuple(found)
