"""Boxes survive their text, and a text that is no box is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.boxes import boxes_text, parsed_boxes
from tasks.domain.errors import BadInput

PLACE, SIDE = st.integers(0, 999_999), st.integers(1, 999_999)


@given(st.lists(st.tuples(PLACE, PLACE, SIDE, SIDE), max_size=5))
def test_boxes_survive_their_text(boxes):
    assert parsed_boxes(boxes_text(boxes)) == tuple(boxes)


def test_blanks_around_numbers_and_separators_mean_nothing():
    assert parsed_boxes(" 12 40  30 8;100 5 9 9 ") == ((12, 40, 30, 8), (100, 5, 9, 9))
    assert parsed_boxes("  ") == ()


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("1 2 3", "'1 2 3'"),
        ("1 2 3 4 5", "'1 2 3 4 5'"),
        ("1,2,3,4", "'1,2,3,4'"),
        ("1 2 3.5 4", r"'1 2 3\.5 4'"),
        ("1 2 3 -4", "'1 2 3 -4'"),
        ("-1 2 3 4", "'-1 2 3 4'"),
        ("1 2 0 4", "'1 2 0 4'"),
        ("1 2 3 4; crack", "'crack'"),
        ("1 2 3 4;", "''"),
        ("1 2 3 1_0", "'1 2 3 1_0'"),
        ("1 2 3 ٤", "'1 2 3 ٤'"),
        ("1 2 3 9999999", "'1 2 3 9999999'"),
    ],
)
def test_what_is_no_box_is_refused_by_name(text, got):
    with pytest.raises(BadInput, match=f"Expected a box .*{got}"):
        parsed_boxes(text)
