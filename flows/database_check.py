"""Whether Prefect's database can be used: its URL, its server, its password, its folder."""

import asyncio
import os
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from flows.findings import Finding, fine, wrong

CONNECT_S = 10.0
_SQLALCHEMYS_OWN = {"prepared_statement_cache_size", "prepared_statement_name_func"}
_FORMS = "write postgresql+asyncpg://USER:PASSWORD@HOST:5432/NAME or sqlite+aiosqlite:////DIR/FILE"


def database(address: str) -> Finding:
    """Whether the database can be opened; nothing is created in it."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return wrong("database", f"its address, not shown here, is no database URL; {_FORMS}")
    if "@" in (url.host or ""):
        return wrong("database", f"its address has two @: one in a password is %40; {_FORMS}")
    shown = url.set(query={}).render_as_string(hide_password=True)
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

    unreadable = (ArgumentError, TypeError, ValueError, OverflowError)  # an option, a port
    return *unreadable, OSError, asyncpg.PostgresError, asyncpg.InterfaceError


async def _connect(url: URL) -> None:
    """Connect with the arguments that SQLAlchemy reads in the URL, which is how Prefect does it."""
    import asyncpg

    _, read = url.get_dialect()().create_connect_args(url)
    arguments = {name: read[name] for name in read if name not in _SQLALCHEMYS_OWN}
    connection = await asyncpg.connect(**{"timeout": CONNECT_S, **arguments})
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
