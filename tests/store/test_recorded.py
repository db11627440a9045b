"""Whole rows by id, wherever they stand, and whether their seal still holds."""

import lancedb
import pytest
from landed import columns, land

from tasks.domain.errors import UnknownVersion
from tasks.store.recorded import Recorded


@pytest.fixture
def pool(tmp_path):
    land(tmp_path / "pool", "r1", ["b", "a"], ["c"])
    return str(tmp_path / "pool")


def test_ids_are_sorted_accepted_first(pool):
    recorded = Recorded(pool)
    assert recorded.ids(recorded.version(None)) == ["a", "b"]
    assert recorded.ids("v1", rejected=True) == ["a", "b", "c"]


def test_rows_come_in_the_order_asked_for_with_their_table(pool):
    rows = Recorded(pool).rows("v1", ["c", "a"])
    assert [(row["id"], row["table"]) for row in rows] == [("c", "rejected"), ("a", "pool")]
    assert rows[1]["models"] == columns("a")["models"]
    assert rows[1]["maker"] is None
    assert [row["changed"] for row in rows] == [(), ()]


def test_what_was_refused_once_and_accepted_later_is_accepted(pool):
    land(pool, "r2", ["c"], base="v1")
    assert Recorded(pool).rows("v2", ["c"])[0]["table"] == "pool"


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [("seed", 5, "metadata"), ("image", b"x", "pixels"), ("maker", "me", "metadata"),
     ("mask", b"x", "mask"), ("embedding", [0.0] * 8, "metadata")],
)  # fmt: skip
def test_a_changed_column_breaks_the_seal(pool, column, value, kind):
    table = lancedb.connect(pool).open_table("pool")
    table.update(where="id = 'b'", values={column: value})
    table.tags.update("v1", table.version)
    a, b = Recorded(pool).rows("v1", ["a", "b"])
    assert (a["changed"], b["changed"]) == ((), (kind,))


def test_sources_and_parameters_are_found_by_id(pool):
    recorded = Recorded(pool)
    assert recorded.source_bytes("v1", ["s1", "s1", "none"]) == {"s1": b"source"}
    assert recorded.params_by_run("v1") == {"r1": "{}"}


def test_wrong_ids_and_versions_are_named(pool, tmp_path):
    with pytest.raises(UnknownVersion, match="but got x"):
        Recorded(pool).rows("v1", ["a", "x"])
    with pytest.raises(UnknownVersion, match="v7"):
        Recorded(pool).version("v7")
    with pytest.raises(UnknownVersion, match="there is none"):
        Recorded(str(tmp_path / "none")).version(None)
