"""poolstar up: a local Prefect server with everything on it, in one command."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.deploy_command import Limit
from flows.terminal import AsJson, print_json, say
from tasks.domain.errors import BadInput

if TYPE_CHECKING:
    from flows.findings import Finding

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(up)


def up(
    host: Annotated[str, typer.Option(help="Where it listens; beyond this machine on demand.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 4200,
    home: Annotated[Path, typer.Option(help="Folder of its database and logs.")] = Path(
        "~/.poolstar"
    ),
    database: Annotated[
        str | None,
        typer.Option(
            envvar=[
                "PREFECT_SERVER_DATABASE_CONNECTION_URL",
                "PREFECT_API_DATABASE_CONNECTION_URL",
            ],
            help="postgresql+asyncpg://USER:PASSWORD@HOST/NAME; default: SQLite in --home.",
        ),
    ] = None,
    limit: Limit = None,
    check: Annotated[bool, typer.Option("--check", help="Only tell what is wrong.")] = False,
    models: Annotated[
        list[str] | None, typer.Option(help="With --check: a model set to look at; repeat.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="With --check: a GPU is expected.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start server, work pool, deployments and workers here; Ctrl-C stops them, runs wait."""
    from flows.local_server import LocalServer, serve
    from flows.server import own_secret
    from flows.up_check import before_start, everything

    home = home.expanduser().absolute()
    server = LocalServer(
        host=host, port=port, home=home, limit=limit,
        database=database or f"sqlite+aiosqlite:///{home / 'server.db'}",
    )  # fmt: skip
    if check:
        sets = models or ["tiny", *(["sd15"] if os.environ.get("POOLSTAR_SD15") else [])]
        raise typer.Exit(_told(everything(server, sets, gpu), as_json))
    for finding in before_start(server):
        if finding.is_wrong:
            raise BadInput(f"{finding.subject}: {finding.text}")
    if host not in LOOPBACK and not own_secret():
        say(
            f"anyone who reaches {host}:{port} can start runs here; to ask for a password set "
            "PREFECT_SERVER_API_AUTH_STRING=USER:PASSWORD"
        )
    home.mkdir(parents=True, exist_ok=True)
    serve(server)


def _told(findings: Iterable["Finding"], as_json: bool) -> int:
    """Print the findings, a line each; 1 where something is wrong."""
    found = list(findings)
    if as_json:
        print_json({"findings": [one.model_dump(mode="json") for one in found]})
    else:
        for one in found:
            say(f"{'WRONG' if one.is_wrong else 'ok':<6} {one.subject:<12} {one.text}")
    return int(any(one.is_wrong for one in found))
