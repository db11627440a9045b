"""The folder of an export: written beside its place, moved there whole, foreign files left alone.

While it grows it lies in `.NAME.partial` beside NAME; an export killed there is cleared away by the
next one. What stands at NAME is replaced only when every file in it is an earlier export's own.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from filelock import FileLock, Timeout

from tasks.domain.errors import BadInput, PoolstarError

MARKER = "poolstar-export.json"
SUMS = "SHA256SUMS"
CROISSANT = "croissant.json"  # tells the hash of SUMS, so SUMS cannot tell its
LOCK_TIMEOUT_S = 1.0


class ExportFolder:
    """A folder that takes files by relative path, each once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, data: bytes) -> None:
        """A whole file.

        Raises:
            PoolstarError: it stands there already, or its name leads out of the folder.
        """
        with self.open(name) as file:
            file.write(data)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file to be written piece by piece."""
        with self.path(name).open("xb") as file:
            yield file

    def path(self, name: str) -> Path:
        """Where a new file goes, its parents made."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise PoolstarError(f"Expected a name within {self.root}, but got {name!r}")
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def files(self) -> list[str]:
        """All files so far, sorted."""
        return sorted(_names(self.root))

    def sums(self) -> bytes:
        """Lines `sha256  name` of all files so far, as sha256sum writes and checks them."""
        return "".join(f"{self.sha256(name)}  {name}\n" for name in self.files()).encode()

    def sha256(self, name: str) -> str:
        """The sha256 of a file that stands."""
        with (self.root / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def size_bytes(self) -> int:
        """What all files weigh."""
        return sum((self.root / name).stat().st_size for name in _names(self.root))


@contextmanager
def new_folder(out: str, pool: str, about: Mapping[str, Any]) -> Iterator[ExportFolder]:
    """A folder to fill; it takes its place when all is written, and leaves nothing when not.

    Args:
        out: where it shall stand.
        pool: URI of the pool it is made from.
        about: what the marker file tells of it.

    Raises:
        BadInput: the place is remote, within the pool, or holds what is not this pool's export.
        PoolstarError: it cannot be written, e.g. the disk is full, or another export writes it.
    """
    place = _free_place(out, pool)
    partial = place.with_name(f".{place.name}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock_path(place), timeout=LOCK_TIMEOUT_S):
            _clear(partial)
            try:
                partial.mkdir()
                folder = ExportFolder(partial)
                folder.write(MARKER, _marker(pool, about))
                yield folder
                _require_own(place, pool)
                _replace(place, partial)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except Timeout as exc:
        raise PoolstarError(
            f"Expected to write {place}, but another export is writing it; try again later"
        ) from exc
    except OSError as exc:
        raise PoolstarError(
            f"Expected to write {place}, but: {exc.strerror or exc}; free some space or name "
            "another folder, then run again: nothing half is left there"
        ) from exc


def _lock_path(place: Path) -> Path:
    """In the user's cache: what shall be given on holds no lock beside it."""
    folder = Path.home() / ".cache" / "poolstar"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"export-{hashlib.sha256(str(place).encode()).hexdigest()[:16]}.lock"


def _free_place(out: str, pool: str) -> Path:
    """The absolute path to write to."""
    if "://" in out:
        raise BadInput(f"Expected a local folder to export to, but got {out}; copy it there after")
    place = Path(out).expanduser().resolve()
    if "://" not in pool:
        held = Path(pool).resolve()
        if place == held or held in place.parents or place in held.parents:
            raise BadInput(
                f"Expected a folder apart from the pool {pool}, but got {out}; name another"
            )
    _require_own(place, pool)
    return place


def _require_own(place: Path, pool: str) -> None:
    """Raise BadInput unless nothing stands there, or an earlier export of this pool alone."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    marker = place / MARKER
    if not place.is_dir() or not marker.is_file() or _pool_of(marker) != _identity(pool):
        raise BadInput(
            f"Expected a new or empty folder, or an earlier export of {pool}, but {place} holds "
            "something else; name another folder, or remove it yourself"
        )
    if foreign := sorted(set(_names(place)) - _listed(place)):
        raise BadInput(
            f"Expected nothing but an earlier export in {place}, but {foreign[0]} is not of it; "
            "move it away, or name another folder"
        )


def _listed(place: Path) -> set[str]:
    """The files that an export says it wrote."""
    sums = place / SUMS
    lines = sums.read_text().splitlines() if sums.is_file() else []
    return {line[66:] for line in lines} | {SUMS, MARKER, CROISSANT}


def _marker(pool: str, about: Mapping[str, Any]) -> bytes:
    """Says what the folder is; the pool by a hash, so that no path of this machine goes along."""
    text = {"made_by": "poolstar export", "pool_sha256": _identity(pool), **about}
    return (json.dumps(text, indent=1) + "\n").encode()


def _identity(pool: str) -> str:
    uri = pool if "://" in pool else str(Path(pool).resolve())
    return hashlib.sha256(uri.rstrip("/").encode()).hexdigest()


def _pool_of(marker: Path) -> str | None:
    try:
        found = json.loads(marker.read_text())
    except (OSError, ValueError):
        return None
    return found.get("pool_sha256") if isinstance(found, dict) else None


def _replace(place: Path, partial: Path) -> None:
    """Move the new folder to its place; what stood there goes last."""
    old = place.with_name(f".{place.name}.old")
    _clear(old)
    if place.exists():
        place.rename(old)
    partial.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _clear(path: Path) -> None:
    """Remove what a killed export left; nothing that is not one."""
    if not path.exists():
        return
    if any(path.iterdir()) and not (path / MARKER).is_file():
        raise BadInput(f"Expected {path} to be a killed export's, but it is not; move it away")
    shutil.rmtree(path)


def _names(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        yield from (str((Path(folder) / name).relative_to(root).as_posix()) for name in names)
