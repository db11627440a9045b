"""File names: nothing leaves its folder, nothing collides."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.file_names import file_stem, folder_names

HOSTILE = [
    "../../etc/passwd", "/abs", "a/b", "a\\b", "..", ".", "", " ", "con", "NUL", "good", "Crack",
    "crack", "CRACK", "a" * 300, "é", "疵", "x\0y", "-rf", "a b", "a_b", "a.b", "nul.png",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_stems_are_plain(name):
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", file_stem(name))


def test_an_id_is_its_own_stem():
    assert file_stem("0a" * 16) == "0a" * 16


@given(st.sets(st.text() | st.sampled_from(HOSTILE), max_size=30))
def test_folders_are_plain_and_distinct_on_any_file_system(kinds):
    names = folder_names(kinds, taken=("good",))
    assert set(names) == kinds
    assert len({name.casefold() for name in names.values()}) == len(kinds)
    assert "good" not in names.values()
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name) for name in names.values())


def test_a_kind_that_is_called_like_anothers_folder_keeps_its_own():
    made = folder_names(["Crack"])["Crack"]
    names = folder_names(["Crack", made])
    assert names[made] == made
    assert names["Crack"] != made
