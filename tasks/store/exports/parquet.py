"""Parquet: data/SPLIT-00000-of-00001.parquet, images and masks as PNG bytes, provenance as columns.

`pandas.read_parquet(DIR / "data")` reads all splits, `load_dataset(DIR)` each by its name.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.domain.export_records import provenance_types
from tasks.store.exports.examples import Example
from tasks.store.exports.folder import ExportFolder
from tasks.store.exports.selection import Selection
from tasks.store.images import encoded_png
from tasks.store.tables import WRITE_BATCH

SHARD_ROWS = 1000
TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def write_parquet(folder: ExportFolder, selection: Selection, examples: Iterable[Example]) -> None:
    """Write a few files a split, a batch of rows at a time."""
    with ExitStack() as stack:
        tables = {
            split: _Shards(folder, split, sum(counts.values()), stack)
            for split, counts in selection.counts.items()
        }
        for example in examples:
            tables[example.split].add(_row(example))
        for table in tables.values():
            table.flush()


def _row(example: Example) -> dict[str, Any]:
    """One image as a row."""
    return {
        "image": example.image, "mask": encoded_png(example.defect),
        "region": encoded_png(example.region),
    } | example.provenance.model_dump(mode="json")  # fmt: skip


def _schema() -> pa.Schema:
    """Pixels first, then the fields of a provenance; types stated, so that nulls keep theirs."""
    pixels = [(name, pa.binary()) for name in ("image", "mask", "region")]
    return pa.schema(pixels + [(name, TYPES[kind]) for name, kind in provenance_types().items()])


class _Shards:
    """The files of a split, one open at a time."""

    def __init__(self, folder: ExportFolder, split: str, rows: int, stack: ExitStack) -> None:
        self._folder, self._split, self._stack = folder, split, stack
        self._files, self._schema = -(-rows // SHARD_ROWS), _schema()
        self._waiting: list[dict[str, Any]] = []
        self._written = 0
        self._writer: Any = None  # of the open file

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, and write when enough have come."""
        self._waiting.append(row)
        if len(self._waiting) == WRITE_BATCH or self._is_file_full(len(self._waiting)):
            self.flush()

    def flush(self) -> None:
        """Write what has come; close a file that is full."""
        if not self._waiting:
            return
        if self._writer is None:
            index = self._written // SHARD_ROWS
            name = f"data/{self._split}-{index:05d}-of-{self._files:05d}.parquet"
            file = self._stack.enter_context(self._folder.open(name))
            self._writer = self._stack.enter_context(pq.ParquetWriter(file, self._schema))
        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        is_full = self._is_file_full(len(self._waiting))
        self._written += len(self._waiting)
        self._waiting = []
        if is_full:
            self._writer.close()
            self._writer = None

    def _is_file_full(self, more: int) -> bool:
        return (self._written + more) % SHARD_ROWS == 0
