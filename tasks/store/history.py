"""A pool's history: its runs in a chain, the seals of every row it ever held, and its tombstones.

Table `seals` is only added to: it keeps the seal of a row after the row has been withdrawn, so
that the manifests of old versions can still be recomputed. Each run's seal covers the seal of the
run before it, so that history cannot be rewritten without its last seal changing.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from tasks.domain.errors import ArchiveError, PoolBroken, PoolMoved
from tasks.domain.tombstone import Tombstone
from tasks.store.claims import Claim, claim_of, claim_version
from tasks.store.remote import contents, place, reaching
from tasks.store.rows import SEALS_SCHEMA, RunRow, table_schemas
from tasks.store.seals import manifest_of, seal_of, times_of
from tasks.store.tables import SEALED, TABLES, PoolTables, among, version_number

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
        self, name: str, version: str | int, ids: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The seal of each row, or of some, up to a version, or to a position of `seals`."""
        mine = pc.field("table_name") == name
        if ids is not None:
            mine &= among("id", ids)
        read = self._readable(
            lambda: self._at("seals", version).to_table(columns=["id", "seal"], filter=mine)
        )
        ids, seals = read.to_pydict().values()
        return {str(key): str(seal) for key, seal in zip(ids, seals, strict=True)}

    def _standing(self, name: str, version: str | int, gone: set[str]) -> dict[str, str]:
        """The seals of the rows that a table should hold, once those withdrawn are gone."""
        return {key: seal for key, seal in self._register(name, version).items() if key not in gone}

    # --- writing -----------------------------------------------------------------------------

    def _journal(self) -> Tombstone | None:
        """The withdrawal that was begun and has not ended, or None."""
        try:
            with reaching(self.uri):
                text = contents(place(self.uri) / JOURNAL)
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

    def _seal(self, name: str, seals: dict[str, str], at: dict[str, int]) -> None:
        """Note the seals of rows that were just inserted, by id."""
        rows = [{"table_name": name, "id": key, "seal": seal} for key, seal in seals.items()]
        if rows:
            done = self._open("seals").add(pa.Table.from_pylist(rows, schema=SEALS_SCHEMA))
            self._move_on("seals", done.version, at)

    def _commit(
        self,
        run: RunRow,
        version: str,
        at: dict[str, int],
        *,
        held: int,
        tombstone: Tombstone | None = None,
        positions: dict[str, dict[str, int]] | None = None,
    ) -> LandedVersion:
        """Close a version over what the tables hold `at` these positions: its run, sealed, a claim.

        `positions` are those of older versions, where they have moved.

        Raises:
            PoolMoved: another writer has written to a table, or claimed the version.
        """
        before = self.latest()
        earlier = [] if before is None else self._current_runs(before)
        graves = tombstones_of(earlier) + (() if tombstone is None else (tombstone,))
        figures = self._manifests(graves, at)
        here = at | {"runs": at["runs"] + 1}
        row = asdict(run) | figures | {
            "version": version,
            "accepted": figures["rows"] - held,
            "positions": json.dumps((positions or {}) | {version: here}),
            "tombstone": "" if tombstone is None else tombstone.model_dump_json(),
            "previous": earlier[-1]["seal"] if earlier else "",
        }  # fmt: skip
        row["seal"] = seal_of(row)
        self._insert_records("runs", [row], "run_id", at)
        claim = Claim(version=version, run_id=run.run_id, positions=here)
        if not claim_version(self.uri, claim):
            raise PoolMoved(f"Expected {version} of {self.uri} to be free, but it is another run's")
        self._set_tags(claim)
        return LandedVersion(version, row["pool_manifest"], row["accepted"], row["rows"])

    def _set_tags(self, claim: Claim) -> None:
        """Tag a claimed version on every table, on `pool` last: then it exists."""
        for name in TABLES:
            table = self._open(name)
            if claim.version not in table.tags.list():
                table.tags.create(claim.version, claim.positions[name])

    def _manifests(self, graves: tuple[Tombstone, ...], at: dict[str, int]) -> dict[str, Any]:
        """Rows, manifests and times of what the tables hold at these positions."""
        figures: dict[str, Any] = {}
        times: dict[str, str] = {}
        for name in SEALED:
            gone = {key for grave in graves for key in grave.withdrawn.get(name, ())}
            seals, ids = self._standing(name, at["seals"], gone), self._ids(name, at[name])
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

    def _recover(self) -> dict[str, int]:
        """Finish what a killed writer has claimed, undo what else it left.

        Returns:
            The LanceDB position of every table; empty where there is no pool yet.
        """
        names = self._names()
        last = version_number(self.latest()) if "pool" in names else 0
        if (claim := claim_of(self.uri, f"v{last + 1}")) is not None:
            self._set_tags(claim)
        version = self.latest()
        there = [name for name in TABLES if name in names]
        if version is None:
            self._drop_first_landing(there)
            return {}
        return {name: self._rolled_back(name, version) for name in there}

    def _drop_first_landing(self, names: Iterable[str]) -> None:
        """Drop what a first landing left that was killed before its version.

        Raises:
            ArchiveError: a table is not of a landing, or belongs to a version; nothing is dropped.
        """
        ours = table_schemas(1)
        for name in names:
            if self._open(name).schema.names != ours[name].names or self._tags(name):
                raise ArchiveError(
                    f"Expected {self.uri} to be a pool, or no database yet, but its table {name} "
                    "is of another one, or of versions whose table `pool` is gone; name another "
                    "folder, or put the whole pool back from a copy"
                )
        for name in names:
            self._database().drop_table(name)

    def _rolled_back(self, name: str, version: str) -> int:
        """Bring a table back to a version where it has moved on; its position after that."""
        table, tags = self._open(name), self._tags(name)
        for tag in set(tags) - set(self._tags("pool")):
            table.tags.delete(tag)
        if table.version != tags[version]:
            table.checkout(tags[version])
            table.restore()
        return int(table.version)


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
