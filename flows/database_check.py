"""Whether Prefect's database can be used: its URL, its server, its password, its folder."""

import asyncio
import os
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from flows.findings import Finding, fine, wrong

CONNECT_S = 10.0
_FORMS = "write postgresql+asyncpg://USER:PASSWORD@HOST:5432/NAME or sqlite+aiosqlite:////DIR/FILE"


def database(address: str) -> Finding:
    """Whether the database can be opened; nothing is created in it."""
    try:
        url = make_url(address)
    except ArgumentError:
        return wrong("database", f"{address!r} is no database URL; {_FORMS}")
    shown = url.render_as_string(hide_password=True)
    if url.drivername == "sqlite+aiosqlite":
        return _sqlite(url, shown)
    if url.drivername != "postgresql+asyncpg":
        return wrong("database", f"Prefect has no driver for {shown}; {_FORMS}")
    try:
        asyncio.run(_connect(url))
    except _connection_errors() as exc:
        said = str(exc) or type(exc).__name__
        return wrong(
            "database", f"{shown}: {said}; is it running, and are user, password and name right?"
        )
    return fine("database", f"{shown} lets us in")


def _connection_errors() -> tuple[type[Exception], ...]:
    import asyncpg

    return OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError


async def _connect(url: URL) -> None:
    import asyncpg

    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain, timeout=CONNECT_S)
    await connection.close()


def _sqlite(url: URL, shown: str) -> Finding:
    if not url.database:
        return wrong("database", f"{shown} names no file: all would be lost at the end; {_FORMS}")
    folder = nearest(Path(url.database).parent)
    if not os.access(folder, os.W_OK):
        return wrong("database", f"cannot write to {folder}; --home names another folder")
    return fine("database", f"{shown} (for many runs at once PostgreSQL is better)")


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.exists())
