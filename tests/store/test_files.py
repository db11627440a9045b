"""The store tells what is missing from what cannot be read; files are written whole or not."""

import os

import pytest

from tasks.domain.errors import PoolstarError
from tasks.store.files import ContentStore, write_whole


def test_what_cannot_be_read_is_not_called_missing(tmp_path):
    store = ContentStore(str(tmp_path))
    ref = store.put(b"kept")
    path = tmp_path / ref.sha256[:2] / ref.sha256[2:]
    path.unlink()
    with pytest.raises(PoolstarError, match="it is missing; delete that folder"):
        store.get(ref)
    path.mkdir()
    with pytest.raises(PoolstarError, match="Is a directory; mend that") as caught:
        store.get(ref)
    assert "delete" not in str(caught.value)


def test_two_may_write_one_file_at_once(tmp_path, monkeypatch):
    path, replace = tmp_path / "report.html", os.replace

    def after_another(source, target):
        monkeypatch.setattr(os, "replace", replace)
        write_whole(path, b"the other's")
        replace(source, target)

    monkeypatch.setattr(os, "replace", after_another)
    write_whole(path, b"the last one's")
    assert path.read_bytes() == b"the last one's"
    assert list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(PoolstarError, match="name another place"):
        write_whole(tmp_path / "report.html", b"page")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
