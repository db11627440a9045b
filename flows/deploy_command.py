"""poolstar deploy: work pool, deployments and automations for a running Prefect server."""

from typing import Annotated

import typer

from flows.terminal import AsJson, print_json, quiet_prefect, say

Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Runs at once; default in a new pool: one a CUDA device, or 1."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(deploy)


def deploy(limit: Limit = None, as_json: AsJson = False) -> None:
    """Register everything on the server of PREFECT_API_URL; again, it only brings up to date."""
    quiet_prefect()
    from flows.deployments import register_all
    from flows.server import reached_server

    url = reached_server()
    done = register_all(limit)
    if as_json:
        print_json({"api": url, **done.model_dump(mode="json")})
        return
    say(f"{url}: work pool {done.work_pool}, {done.limit} at once")
    say(f"deployments  {', '.join(done.deployments)}")
    say(f"automations  {', '.join(done.automations)}")
