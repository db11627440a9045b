"""Download: a file with a known hash, taken up again where it stopped, refused if it is another.

Until its hash is right a file is called `NAME.part`: what lies under its own name is whole.
"""

import errno
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.domain.errors import ModelSetError

BLOCK_BYTES = 1 << 20
TIMEOUT_S = 30
COMPLETE = 416  # the range asked for begins at the file's end
WITHOUT_CONNECTION = (
    "Without a connection: run `poolstar models pull sd15 --to DIR` on a machine that has one, "
    "copy DIR here, and check it with `poolstar models check DIR`"
)


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: where it is, its place below the folder, its size and its hash.

    `git` is the hash that git gives a blob: sha1 over "blob SIZE\\0" and the content.
    """

    url: str
    path: str
    size_bytes: int | None
    digest: str
    kind: Literal["sha256", "git"] = "sha256"


def fetch(files: list[RemoteFile], folder: Path, say: Callable[[str], None]) -> None:
    """Fetch what is not there yet, whole; what is there under its own name stays.

    Raises:
        ModelSetError: no connection, no room, or another file than the one expected; what was
            received is kept for the next call, unless it is the wrong file.
    """
    missing = [one for one in files if not _is_whole(folder / one.path, one)]
    _require_room(missing, folder)
    for one in missing:
        path = folder / one.path
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.is_file() else 0
        say(f"{one.path}: {_told(one.size_bytes)}{f', from {_told(have)} on' if have else ''}")
        try:
            _receive(one, part, have)
        except (OSError, http.client.HTTPException) as exc:
            raise ModelSetError(_failure(one, folder, exc)) from exc
        if not _is_whole(part, one):
            part.unlink()
            raise ModelSetError(
                f"Expected {one.path} with {one.kind} {one.digest[:12]}, but {one.url} gave "
                "another file; it was deleted. Try again; if it stays so, do not use that source"
            )
        part.replace(path)


def _receive(one: RemoteFile, part: Path, have: int) -> None:
    """Append what is missing to a part; begin again where the server knows no ranges."""
    request = urllib.request.Request(one.url, headers={"User-Agent": "poolstar"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            is_rest = answer.status == http.client.PARTIAL_CONTENT
            with part.open("ab" if is_rest else "wb") as file:
                shutil.copyfileobj(answer, file, BLOCK_BYTES)
            whole = int(answer.headers.get("Content-Length", 0)) + (have if is_rest else 0)
    except urllib.error.HTTPError as exc:
        if exc.code != COMPLETE or not have:
            raise
        return
    if (missing := whole - part.stat().st_size) > 0:
        raise ConnectionError(f"{missing} bytes before the end")


def _is_whole(path: Path, one: RemoteFile) -> bool:
    """Whether a file is there and has the hash."""
    if not path.is_file():
        return False
    if one.kind == "sha256":
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == one.digest
    data = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    return blob.hexdigest() == one.digest


def _require_room(files: list[RemoteFile], folder: Path) -> None:
    """Raise unless the disk holds what is still to come."""
    parts = [folder / (one.path + ".part") for one in files]
    have = sum(part.stat().st_size for part in parts if part.is_file())
    needed = sum(one.size_bytes or 0 for one in files) - have
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < needed:
        raise ModelSetError(
            f"Expected {_told(needed)} of free disk at {folder}, but there are {_told(free)}; make "
            "room, or name another folder"
        )


def _failure(one: RemoteFile, folder: Path, error: Exception) -> str:
    """What to do about a transfer that broke off."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"Expected room for {one.path} in {folder}, but the disk is full; make room and call "
            "again: it goes on where it stopped"
        )
    if isinstance(error, urllib.error.HTTPError):
        return f"Expected {one.url}, but the server answers {error.code} {error.reason}"
    return (
        f"Expected {one.path} from {one.url}, but the connection failed ({error}); what came is "
        f"kept, and the same command goes on from there. {WITHOUT_CONNECTION}"
    )


def _told(size_bytes: int | None) -> str:
    """A size for a person."""
    if size_bytes is None:
        return "size unknown"
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e7 else f"{size_bytes / 1e3:.0f} kB"
