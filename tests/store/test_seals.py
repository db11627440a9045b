"""Seals: every column counts, its kind is told, and manifests know neither order nor time."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from landed import columns

from tasks.store.rows import PoolRow, as_record, plain_rows, pool_schema
from tasks.store.seals import KINDS, changed_kinds, kind_of, manifest_of, seal_of, times_of


def test_a_column_not_known_yet_is_sealed_as_metadata():
    record = columns("a")
    assert changed_kinds(seal_of(record | {"maker": "x"}), seal_of(record)) == ("metadata",)
    assert kind_of("maker") == "metadata"


def test_a_row_written_and_read_has_one_seal():

    record = as_record(PoolRow(**columns("a")))
    (batch,) = pa.Table.from_pylist([record], schema=pool_schema(8)).to_batches()
    assert seal_of(plain_rows(batch)[0]) == seal_of(record)


def test_the_smallest_step_of_a_number_shows():
    record = columns("a")
    row = record["embedding"].copy()
    row[3] = np.nextafter(row[3], np.float32(9))
    assert seal_of(record | {"embedding": row}) != seal_of(record)
    assert seal_of(record | {"s_i": np.nextafter(record["s_i"], 9)}) != seal_of(record)
    assert seal_of(record | {"s_i": np.float64(record["s_i"])}) == seal_of(record)


@given(st.dictionaries(st.text(max_size=4), st.text("0123456789abcdef", min_size=1), max_size=6))
def test_manifests_know_no_order_and_no_time_and_times_nothing_else(parts):
    seals = {key: f"p m d {part}" for key, part in parts.items()}
    later = {key: f"p m d {part}0" for key, part in reversed(parts.items())}
    assert manifest_of(seals) == manifest_of(later)
    other = {key: f"p x d {part}" for key, part in parts.items()}
    assert times_of(seals) == times_of(other)
    if parts:
        assert times_of(seals) != times_of(later)
        assert manifest_of(seals) != manifest_of(other)


def test_what_is_no_seal_differs_in_every_kind():
    assert changed_kinds("", seal_of(columns("a"))) == KINDS
