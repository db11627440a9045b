"""A full disk: a tiny file system of its own, filled to the brim."""

import os
import subprocess
from contextlib import suppress

import numpy as np
import pytest
from landed import land

from tasks.domain.errors import ArchiveError, PoolstarError
from tasks.store.archive import Archive
from tasks.store.files import ContentStore, write_whole


@pytest.fixture
def disk(tmp_path):
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)


def noise(count: int) -> bytes:
    return np.random.default_rng(0).bytes(count)


def test_a_full_disk_is_said_plainly_and_leaves_the_last_version_whole(disk):
    uri = str(disk / "pool")
    land(uri, "r1", ["a", "b"])
    before = Archive(uri).verify()
    with pytest.raises(ArchiveError, match=r"No space left.*Free some space") as caught:
        land(uri, "r2", ["c"], base="v1", mask=noise(9_000_000))
    assert "the last version is whole" in str(caught.value)
    assert Archive(uri).versions() == ["v1"]
    assert Archive(uri).verify() == before


def test_a_disk_filled_to_the_brim_can_be_freed_and_the_run_ends_as_it_would_have(disk, tmp_path):
    uri = str(disk / "pool")
    land(uri, "r1", ["a"])
    before = Archive(uri).verify()
    fill(disk / "filler")
    with pytest.raises(ArchiveError, match="No space left"):
        land(uri, "r2", ["b"], base="v1")
    assert Archive(uri).verify() == before
    (disk / "filler").unlink()
    land(tmp_path / "roomy", "r1", ["a"])
    elsewhere = land(tmp_path / "roomy", "r2", ["b"], base="v1")
    assert land(uri, "r2", ["b"], base="v1").manifest == elsewhere.manifest
    assert Archive(uri).verify().ok


def test_a_store_on_a_full_disk_keeps_nothing_half(disk):
    store = ContentStore(str(disk / "store"))
    kept = store.put(b"kept")
    fill(disk / "filler")
    with pytest.raises(PoolstarError, match=r"No space left.*free some space"):
        store.put(noise(100_000))
    with pytest.raises(PoolstarError, match="No space left"):
        write_whole(str(disk / "report.html"), noise(100_000))
    (disk / "filler").unlink()
    assert store.get(kept) == b"kept"
    assert store.get(store.put(noise(100_000))) == noise(100_000)
