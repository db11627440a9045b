"""The folder of an export: whole or not there, and nothing of anybody else's touched."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.domain.errors import BadInput, PoolstarError
from tasks.store.exports.folder import MARKER, SUMS, new_folder


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write(out: Path, pool: Path, files: dict[str, bytes]) -> None:
    with new_folder(str(out), str(pool), {"format": "coco"}) as folder:
        for name, data in files.items():
            folder.write(name, data)
        folder.write(SUMS, folder.sums())


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_later_export_replaces_an_earlier_one_of_the_same_pool(tmp_path):
    out, pool = tmp_path / "deep" / "out", tmp_path / "pool"
    write(out, pool, {"a/1.png": b"1", "b.json": b"{}"})
    write(out, pool, {"a/2.png": b"2"})
    assert names(out) == {"a/2.png", MARKER, SUMS}
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    lines = dict(reversed(line.split("  ")) for line in (out / SUMS).read_text().splitlines())
    assert lines["a/2.png"] == hashlib.sha256(b"2").hexdigest()


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", tmp_path / "pool", {"a": b"1"})
    assert (tmp_path / "out/a").read_bytes() == b"1"


@pytest.mark.parametrize("what", ["foreign", "file", "other pool", "added", "forged"])
def test_what_is_not_an_earlier_export_alone_is_left_alone(tmp_path, what):
    out, pool = tmp_path / "out", tmp_path / "pool"
    if what in {"other pool", "added"}:
        write(out, tmp_path / ("other" if what == "other pool" else "pool"), {"a": b"1"})
    if what == "file":
        out.write_bytes(b"mine")
    else:
        (out / "mine").mkdir(parents=True)
        (out / "mine" / "thesis.tex").write_bytes(b"mine")
    if what == "other pool":
        (out / "mine" / "thesis.tex").unlink()
    if what == "forged":
        (out / MARKER).write_text("[]")
    before = {path: path.read_bytes() for path in tmp_path.glob("out/**/*") if path.is_file()}
    with pytest.raises(BadInput, match="Expected"):
        write(out, pool, {"a": b"2"})
    assert before == {p: p.read_bytes() for p in tmp_path.glob("out/**/*") if p.is_file()}
    assert out.is_dir() or out.read_bytes() == b"mine"


@pytest.mark.parametrize("out", ["s3://bucket/x", "pool", "pool/export", "."])
def test_places_that_no_export_may_take(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool").mkdir()
    with pytest.raises(BadInput, match="Expected a"):
        write(out, tmp_path / "pool", {"a": b"1"})
    assert not any((tmp_path / "pool").iterdir())


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "a/..", "..", "", "a\\..\\x", "a\0b"]
)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(PoolstarError, match="within"):
        write(tmp_path / "out", tmp_path / "pool", {name: b"1"})
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "x").exists()


def test_a_file_is_written_once(tmp_path):
    with pytest.raises(PoolstarError, match="exists"):
        write(tmp_path / "out", tmp_path / "pool", {MARKER: b"1"})


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_export_that_stops_leaves_what_was_there(tmp_path, error):
    out, pool = tmp_path / "out", tmp_path / "pool"
    write(out, pool, {"a": b"1"})
    before = names(out)

    def stopped() -> None:
        with new_folder(str(out), str(pool), {}) as folder:
            folder.write("b", b"2")
            raise error

    with pytest.raises(error):
        stopped()
    assert names(out) == before
    assert not (tmp_path / ".out.partial").exists()


def test_an_export_killed_leaves_what_was_there_and_the_next_one_clears_up(tmp_path):
    out, pool = tmp_path / "out", tmp_path / "pool"
    write(out, pool, {"a": b"1"})
    before = names(out)
    script = (
        "import os, signal, sys\n"
        "from tasks.store.exports.folder import new_folder\n"
        "with new_folder(sys.argv[1], sys.argv[2], {}) as folder:\n"
        "    folder.write('b', b'2')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(out), str(pool)], check=False, cwd=os.getcwd()
    )
    assert done.returncode == -signal.SIGKILL
    assert names(out) == before
    assert (tmp_path / ".out.partial" / "b").exists()
    write(out, pool, {"c": b"3"})
    assert names(out) == {"c", MARKER, SUMS}
    assert not (tmp_path / ".out.partial").exists()


def test_a_folder_that_is_only_called_like_a_killed_export_stays(tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "mine").write_bytes(b"mine")
    with pytest.raises(BadInput, match="move it away"):
        write(tmp_path / "out", tmp_path / "pool", {"a": b"1"})
    assert (tmp_path / ".out.partial" / "mine").read_bytes() == b"mine"


def test_a_disk_that_takes_no_more_is_said_and_nothing_half_is_left(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(PoolstarError, match="free some space"):
            write(tmp_path / "out", tmp_path / "pool", {"a": b"1", "b": bytes(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.partial").exists()
