"""The one writer of a pool: a file lock in a folder, a lease on object storage.

The lease is an object beside the pool that is only ever written conditionally: where none is
(If-None-Match), or over the very one last seen (If-Match). Its holder rewrites it every third of
`LEASE_S`. Whoever waits takes it over once it has not changed for `LEASE_S` by the waiter's own
clock, so clocks need not agree, and a killed writer stands in the way no longer than that.

A holder that slept past its lease may still write, as no lock can forbid. That does no harm to
versions: each is claimed by one conditional write (`tasks.store.claims`).
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks.domain.errors import PoolLocked, PoolstarError
from tasks.store.remote import contents, is_outrun, is_remote, place, reaching

LEASE_S = 30.0
LOCK_TIMEOUT_S = 600.0
Held = Callable[[], None]


@contextmanager
def one_writer(uri: str) -> Iterator[Held]:
    """The only writer of a pool while the block runs; calling what it gives makes sure of it.

    Raises:
        PoolLocked: another run has been writing for ten minutes.
    """
    if is_remote(uri):
        with Lease(f"{uri}.lock").held() as require:
            yield require
        return
    lock = Path(f"{uri}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=LOCK_TIMEOUT_S):
            yield lambda: None
    except Timeout as exc:
        raise _locked(uri, str(lock)) from exc


class Lease:
    """One object that says who may write, until it is silent for `lease_s`."""

    def __init__(self, uri: str, lease_s: float | None = None) -> None:
        self._uri, self._lease_s = uri, LEASE_S if lease_s is None else lease_s
        self._file = place(uri)
        self._owner = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        self._tag, self._valid_until, self._over = "", 0.0, threading.Event()

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Hold the lease while the block runs.

        Raises:
            PoolLocked: another run has held it for ten minutes; or, from the call that is given,
                it has been lost.
        """
        self._acquire()
        beating = threading.Thread(target=self._beat, daemon=True, name="lease")
        beating.start()
        try:
            yield self.require
        finally:
            self._over.set()
            beating.join()
            with suppress(PoolstarError, OSError):
                self._write(is_free=True, over=self._tag)

    def require(self) -> None:
        """Raise PoolLocked where the lease is no longer held."""
        if time.monotonic() >= self._valid_until:
            raise PoolLocked(
                f"Expected to hold {self._uri} while writing, but it could not be renewed for "
                f"{self._lease_s:g} s and may be another run's; run again, what is done is kept"
            )

    def _acquire(self) -> None:
        seen, since = "", time.monotonic()
        deadline = since + LOCK_TIMEOUT_S
        while True:
            body, tag = self._read()
            now = time.monotonic()
            if tag != seen:
                seen, since = tag, now
            is_open = not tag or body["is_free"] or now - since >= self._lease_s
            if is_open and self._write(is_free=False, over=tag):
                return
            if now >= deadline:
                raise _locked(self._uri.removesuffix(".lock"), f"its lock ({body.get('owner')})")
            self._over.wait(min(self._lease_s / 10, 1.0))

    def _beat(self) -> None:
        """Renew until the block ends or the lease is another's; failures are tried again."""
        while not self._over.wait(self._lease_s / 3):
            with suppress(PoolstarError, OSError):
                if not self._write(is_free=False, over=self._tag):
                    self._valid_until = 0.0
                    return

    def _read(self) -> tuple[dict[str, Any], str]:
        """What the object says and the entity tag it had just before; {} and "" where none is."""
        try:
            with reaching(self._uri):
                tag = str(self._call("head_object")["ETag"])
                return json.loads(contents(self._file)), tag
        except FileNotFoundError:
            return {}, ""

    def _write(self, *, is_free: bool, over: str) -> bool:
        """Write over the object of that tag, or where none is; False where another was faster."""
        started = time.monotonic()
        body = {"owner": self._owner, "is_free": is_free, "beat": secrets.token_hex(8)}
        condition = {"IfMatch": over} if over else {"IfNoneMatch": "*"}
        try:
            with reaching(self._uri):
                answer = self._call("put_object", Body=json.dumps(body).encode(), **condition)
            tag = str(answer["ETag"])
        except OSError as exc:
            if not is_outrun(exc):
                raise
            now, tag = self._read()
            if now != body:  # else the client had asked twice, and the first was served
                return False
        self._tag, self._valid_until = tag, started + self._lease_s
        return True

    def _call(self, method: str, **named: Any) -> Any:
        """One request to the object."""
        bucket, _, key = self._file.path.partition("/")
        return self._file.fs.call_s3(method, Bucket=bucket, Key=key, **named)


def _locked(uri: str, lock: str) -> PoolLocked:
    return PoolLocked(f"Expected to write {uri}, but another run holds {lock}; try again later")
