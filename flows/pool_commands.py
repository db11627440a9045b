"""poolstar pool: the commands that look into a pool."""

import sys
from typing import Annotated

import typer

from flows import information_command
from flows.terminal import AsJson, PoolUri, print_json, say

app = typer.Typer(help="Look into a pool.", no_args_is_help=True)
information_command.register(app)


@app.command("ls")
def pool_ls(
    pool: PoolUri,
    version: Annotated[str | None, typer.Option(help="Version; default: the latest.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List versions and images."""
    from tasks.store.archive import Archive

    archive = Archive(pool)
    rows = archive.list_rows(version, kind=kind, limit=limit)
    if as_json:
        print_json({"versions": archive.versions(), "rows": rows})
        return
    sys.stdout.write(f"versions: {' '.join(archive.versions())}\n")
    for row in rows:
        label = "placebo" if row["is_placebo"] else row["kind"]
        sys.stdout.write(f"{row['id']}  {label:<16} S_i {row['s_i']:.2f}  {row['prompt']}\n")


@app.command("show")
def pool_show(
    row_id: Annotated[str, typer.Argument(metavar="ID", help="An image's id.")],
    pool: PoolUri,
    as_json: AsJson = False,
) -> None:
    """Everything the archive knows of one image, but its pixels."""
    from tasks.store.archive import Archive

    row = Archive(pool).row(row_id)
    shown = {k: v for k, v in row.items() if not isinstance(v, bytes) and "embedding" not in k}
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        sys.stdout.write(f"{name:<16} {value}\n")


@app.command("verify")
def pool_verify(
    pool: PoolUri,
    version: Annotated[str | None, typer.Option(help="Version; default: the latest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the manifest of a version and compare; exit status 1 when anything changed."""
    from tasks.store.archive import Archive

    found = Archive(pool).verify(version)
    if as_json:
        print_json(
            {
                "ok": found.ok,
                "version": found.version,
                "manifest": found.manifest,
                "rows": found.rows,
                "problems": list(found.problems),
            }
        )
    else:
        verdict = "whole" if found.ok else "CHANGED"
        say(f"{found.version}: {found.rows} rows, {verdict}, manifest {found.manifest}")
        for problem in found.problems:
            say(f"  {problem}")
    raise typer.Exit(0 if found.ok else 1)
