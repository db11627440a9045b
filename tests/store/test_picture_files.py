"""Picture files stay in their folder, whatever stands there already."""

import pytest

from tasks.domain.errors import BadInput
from tasks.store.picture_files import write_pictures


def test_a_link_under_the_name_is_replaced_not_followed(tmp_path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "image.png").symlink_to(outside)
    (path,) = write_pictures(folder, {"image.png": b"new"})
    assert outside.read_bytes() == b"precious"
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    assert [one.name for one in folder.iterdir()] == ["image.png"]


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/b.png", "..", ""])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(BadInput, match="leaves"):
        write_pictures(tmp_path / "folder", {name: b""})


def test_a_folder_that_is_a_file_is_said_plainly(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="Expected a folder"):
        write_pictures(tmp_path / "file", {"image.png": b""})
