"""Picture files for a person to look at: fixed names, in one folder and nowhere else."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tasks.domain.errors import BadInput


def write_pictures(folder: Path, pictures: Mapping[str, bytes]) -> list[Path]:
    """Write each picture under its name, whole; what stands there under that name is replaced.

    A name that is a symbolic link is replaced too, never followed out of the folder.

    Raises:
        BadInput: a name leaves the folder, or the folder cannot be written.
    """
    for name in pictures:
        if Path(name).name != name or name in {"", ".", ".."}:
            raise BadInput(f"Expected plain file names, but got {name!r}, which leaves {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_written(folder / name, data) for name, data in pictures.items()]
    except OSError as exc:
        raise BadInput(
            f"Expected a folder to write to at {folder}, but: {exc.strerror or exc}; name another"
        ) from exc


def _written(path: Path, data: bytes) -> Path:
    """A file of a name nobody could foresee takes the place of `path`."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.chmod(partial, 0o644)
    os.replace(partial, path)
    return path
