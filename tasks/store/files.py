"""The content-addressed store: bytes named by their sha256, in a folder or on s3://."""

import hashlib
import io
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from tasks.domain.errors import PoolstarError
from tasks.domain.images import Pixels
from tasks.domain.places import writable
from tasks.domain.records import Ref
from tasks.store.images import decoded_mask, decoded_png, encoded_png
from tasks.store.remote import contents, is_outrun, place, reaching

# numpy parses array headers as Python, which CPython 3.11 cannot do in two threads at once.
ONE_PARSER = threading.Lock()
LOCAL = frozenset({"", "file"})


class ContentStore:
    """Bytes in, refs out; a ref is found below this store's own root by its sha256 alone."""

    def __init__(self, root_uri: str) -> None:
        self._root, self._uri = place(writable(root_uri)), root_uri

    @property
    def identity(self) -> str:
        """A random id written when the store was made; a store made anew has another."""
        path = self._root / "identity"
        with reaching(self._uri):
            if not path.exists():
                write_once(path, secrets.token_hex(8).encode())
            return contents(path).decode()

    def require_identity(self, identity: str) -> None:
        """Make sure that this is the store a run began with, as this machine sees it.

        Raises:
            PoolstarError: it is another one, or none.
        """
        try:
            with reaching(self._uri):
                found = contents(self._root / "identity").decode()
        except OSError:
            found = ""
        if found != identity:
            raise PoolstarError(
                f"Expected the store {self._uri} that the run began with, but on "
                f"{socket.gethostname()} there is {'another' if found else 'none'}; all machines "
                "must share it: name a mounted folder or an s3:// URI as store"
            )

    def put(self, data: bytes) -> Ref:
        """Keep bytes; the same bytes twice are kept once.

        Raises:
            PoolstarError: the store cannot be written, e.g. the disk is full.
            StorageRefused, TransientError: see `reaching`.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        with reaching(self._uri):
            if not path.exists():
                write_once(path, data)
        return Ref(sha256=sha256, uri=str(path))

    def get(self, ref: Ref) -> bytes:
        """The bytes of a ref, checked against its sha256.

        Raises:
            PoolstarError: they are missing, damaged, or cannot be read.
            StorageRefused, TransientError: see `reaching`.
        """
        path = self._path(ref.sha256)
        try:
            with reaching(self._uri):
                data = contents(path)
        except FileNotFoundError as exc:
            raise PoolstarError(self._damage(ref.sha256, "it is missing")) from exc
        except OSError as exc:
            raise PoolstarError(
                f"Expected to read {path}, but: {exc.strerror or exc}; mend that and run again, "
                "what is done is kept"
            ) from exc
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise PoolstarError(self._damage(ref.sha256, "its bytes have changed"))
        return data

    def put_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> Ref:
        """Keep named arrays as one npz, without pickle."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **dict(arrays))
        return self.put(buffer.getvalue())

    def get_arrays(self, ref: Ref) -> dict[str, NDArray[Any]]:
        """The arrays of a ref."""
        data = io.BytesIO(self.get(ref))
        with ONE_PARSER, np.load(data, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def put_image(self, pixels: Pixels) -> Ref:
        """Keep pixels as a lossless PNG."""
        return self.put(encoded_png(pixels))

    def get_image(self, ref: Ref) -> Pixels:
        """The pixels of a ref."""
        return decoded_png(self.get(ref))

    def put_mask(self, mask: NDArray[np.bool_]) -> Ref:
        """Keep a (H, W) mask as a PNG."""
        return self.put(encoded_png(mask))

    def get_mask(self, ref: Ref) -> NDArray[np.bool_]:
        """The (H, W) mask of a ref."""
        return decoded_mask(self.get(ref))

    def remember(self, key: str, data: bytes) -> None:
        """Keep a small result under a key of 64 hex digits; the first result stays."""
        with reaching(self._uri):
            write_once(self._root / "known" / key[:2] / key[2:], data)

    def recall(self, key: str) -> bytes | None:
        """What was kept under a key, or None."""
        path = self._root / "known" / key[:2] / key[2:]
        try:
            with reaching(self._uri):
                return contents(path)
        except FileNotFoundError:
            return None

    def _path(self, sha256: str) -> UPath:
        return self._root / sha256[:2] / sha256[2:]

    def _damage(self, sha256: str, what: str) -> str:
        return (
            f"Expected {sha256[:12]} in the store {self._root}, but {what}; "
            "delete that folder and run again"
        )


def write_once(path: UPath, data: bytes) -> bool:
    """Write so that readers see all of it or nothing; False where another writer was first.

    Raises:
        PoolstarError: it cannot be written, e.g. the disk is full.
        StorageRefused, TransientError: see `reaching`.
    """
    try:
        with reaching(str(path)):
            _link_new(path, data) if path.protocol in LOCAL else _put_new(path, data)
    except FileExistsError:
        return False
    except OSError as exc:
        raise PoolstarError(
            f"Expected to write {path}, but: {exc.strerror or exc}; free some space or name "
            "another store, then run again: what is done is kept"
        ) from exc
    return True


def _link_new(path: UPath, data: bytes) -> None:
    """A new file, which appears whole under its name; FileExistsError where one is."""
    with _written_beside(path, data) as partial:
        os.link(str(partial), str(path))


@contextmanager
def _written_beside(path: UPath, data: bytes) -> Iterator[UPath]:
    """The data in a file of this writer's own beside `path`, gone when the block ends."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(data)
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _put_new(path: UPath, data: bytes) -> None:
    """A new object; FileExistsError where another one is."""
    try:
        path.fs.pipe_file(path.path, data, mode="create")
    except OSError as exc:
        if not is_outrun(exc):
            raise
        if contents(path) != data:  # else the client had asked twice, and the first was served
            raise FileExistsError(str(path)) from exc


def write_whole(where: str | Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Raises:
        PoolstarError: it cannot be written.
        StorageRefused, TransientError: see `reaching`.
    """
    path = place(str(where))
    try:
        with reaching(str(where)):
            if path.protocol not in LOCAL:
                path.fs.pipe_file(path.path, data)
                return
            with _written_beside(path, data) as partial:
                os.replace(str(partial), str(path))
    except OSError as exc:
        raise PoolstarError(
            f"Expected to write {where}, but: {exc.strerror or exc}; name another place and run "
            "again, nothing is computed twice"
        ) from exc
