"""What an export holds: the images of a pool's version, chosen and divided by light columns."""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pyarrow.compute as pc

from tasks.domain.errors import BadInput
from tasks.domain.export_records import ExportParams
from tasks.domain.export_splits import group_named, one_class_splits, splits_of
from tasks.domain.file_names import folder_names
from tasks.domain.records import SOUND
from tasks.store.tables import WRITE_BATCH, PoolTables, among

GOOD = "good"


class Selection(PoolTables):
    """The images of an export; memory grows by a few words an image, never by its pixels.

    Raises:
        UnknownVersion: no such pool or version.
        BadInput: a kind is not there, nothing is left, or a split stays empty.
        BadParameters: splits or pattern cannot be used.
    """

    def __init__(self, params: ExportParams) -> None:
        super().__init__(params.pool)
        self.params, self.shares = params, params.shares
        self.version = self._existing(params.version)
        self._all_runs = self._current_runs(self.version)
        self._require_kinds()
        self._edits = self._light("pool", ["source_id", "kind", "is_placebo"], self.where)
        if not self._edits:
            raise BadInput(
                f"Expected images to export, but {self.uri} {self.version} holds none of those "
                "asked for; name another version or other kinds, or grow the pool first"
            )
        listed = self._light("sources", ["id", "uri", "label"])
        self._sound = [row["id"] for row in listed if params.with_sources and row["label"] == "OK"]
        uris = {row["id"]: row["uri"] for row in listed}
        self._group_of = {
            one: group_named(uris.get(one, ""), one, params.group_pattern)
            for one, _ in self._members()
        }
        self._split_of = self._divided()

    @property
    def where(self) -> pc.Expression:
        """The rows of table `pool` that are exported."""
        is_placebo, kinds = pc.field("is_placebo"), list(self.params.kinds)
        defects = ~is_placebo & among("kind", kinds) if kinds else ~is_placebo
        return defects | is_placebo if self.params.with_placebos else defects

    @property
    def name(self) -> str:
        """The pool's own name: the last part of its URI."""
        return self.uri.rsplit("/", 1)[-1]

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run that landed the version."""
        return next(row for row in self._all_runs if row["version"] == self.version)

    @property
    def manifest(self) -> str:
        """The manifest of the version's table `pool`."""
        return str(self.run["pool_manifest"])

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """The model set of each run, by its fingerprint."""
        return {row["run_id"]: row["model_set_fingerprint"] for row in self._all_runs}

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of defect that are exported, sorted: a class's number is its place here."""
        return tuple(sorted({kind for _, kind in self._members() if kind != SOUND}))

    @cached_property
    def folders(self) -> dict[str, str]:
        """A folder name for each kind of defect."""
        return folder_names(self.kinds, taken=(GOOD,))

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and kind."""
        counts: dict[str, Counter[str]] = {name: Counter() for name in self.shares}
        for source_id, kind in self._members():
            counts[self.place_of(source_id)[1]][kind] += 1
        return {split: dict(sorted(own.items())) for split, own in counts.items()}

    @property
    def images(self) -> int:
        """How many images are exported."""
        return len(self._edits) + len(self._sound)

    @property
    def placebos(self) -> int:
        """How many of them are placebos."""
        return sum(row["is_placebo"] for row in self._edits)

    @property
    def real(self) -> int:
        """How many are real."""
        return len(self._sound)

    @property
    def has_sound(self) -> bool:
        """Whether any image is sound."""
        return any(SOUND in own for own in self.counts.values())

    @property
    def sources(self) -> int:
        """How many real images they come from, or are."""
        return len(self._group_of)

    @property
    def groups(self) -> int:
        """How many groups are divided over the splits."""
        return len(self._split_of)

    def place_of(self, source_id: str) -> tuple[str, str]:
        """Group and split of a source."""
        group = self._group_of[source_id]
        return group, self._split_of[group]

    def batches(
        self, table: str, columns: list[str], where: pc.Expression
    ) -> Iterator[list[dict[str, Any]]]:
        """Rows of a table, some at a time."""
        batches = self._readable(
            lambda: iter(
                self._at(table, self.version).to_batches(
                    columns=columns, filter=where, batch_size=WRITE_BATCH
                )
            )
        )
        while (batch := self._readable(lambda: next(batches, None))) is not None:
            yield batch.to_pylist()

    def _light(
        self, table: str, columns: list[str], where: pc.Expression = None
    ) -> list[dict[str, Any]]:
        return list(self._read(table, self.version, columns, where=where).to_pylist())

    def _members(self) -> Iterator[tuple[str, str]]:
        """Source and kind of each image; placebos are sound."""
        for row in self._edits:
            yield row["source_id"], SOUND if row["is_placebo"] else row["kind"]
        for source_id in self._sound:
            yield source_id, SOUND

    def _require_kinds(self) -> None:
        """Raise BadInput for a kind that the version does not hold."""
        rows = self._light("pool", ["kind"], ~pc.field("is_placebo"))
        present = sorted({row["kind"] for row in rows})
        if strange := sorted(set(self.params.kinds) - set(present)):
            raise BadInput(
                f"Expected kinds of {self.uri} {self.version} ({', '.join(present) or 'none'}), "
                f"but got {', '.join(strange)}; see `poolstar pool ls`"
            )

    def _divided(self) -> dict[str, str]:
        """The split of each group."""
        if self.params.format != "mvtec":
            return splits_of(self._group_of.values(), self.shares)
        return one_class_splits(
            (
                ("OK" if kind == SOUND else "KO", self._group_of[one])
                for one, kind in self._members()
            ),
            self.shares,
        )
