"""poolstar pool: the commands that look into a pool, compare its versions, and withdraw from it."""

import sys
from typing import Annotated

import typer

from flows import information_command
from flows.terminal import AsJson, PoolUri, Version, print_json, say
from tasks.domain.version_diff import Difference

app = typer.Typer(
    help="Look into a pool, compare versions, withdraw a source.", no_args_is_help=True
)
information_command.register(app)


@app.command("ls")
def pool_ls(
    pool: PoolUri,
    version: Version = None,
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
    row_id: Annotated[
        str, typer.Argument(metavar="ID", help="An image's id, or its first 8 digits or more.")
    ],
    pool: PoolUri,
    version: Version = None,
    save: Annotated[
        str | None, typer.Option(help="Folder to write source, image, mask and bead to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The life of one image, accepted or refused: source, edit, gates, verdict and trials."""
    from tasks.domain.life import story
    from tasks.life import life_of, save_pictures

    life = life_of(pool, row_id, version)
    saved = [] if save is None else save_pictures(pool, life.row["id"], save, version)
    if as_json:
        told = life.model_dump(mode="json", exclude={"row"})
        print_json(life.row | told | {"saved": [str(path) for path in saved]})
        return
    for line in story(life):
        sys.stdout.write(line + "\n")
    for path in saved:
        say(str(path))


@app.command("verify")
def pool_verify(
    pool: PoolUri,
    version: Version = None,
    expect: Annotated[
        str | None, typer.Option(help="Head or manifest noted elsewhere, which it must have.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute every seal of a version and compare; exit status 1 when anything changed."""
    from tasks.store.archive import Archive

    found = Archive(pool).verify(version)
    problems = list(found.problems)
    if expect is not None and expect not in {found.head, found.manifest}:
        problems.append(f"neither head {found.head} nor manifest {found.manifest} is {expect}")
    if as_json:
        print_json(
            {
                "ok": not problems,
                "version": found.version,
                "manifest": found.manifest,
                "head": found.head,
                "rows": found.rows,
                "problems": problems,
                "notes": list(found.notes),
            }
        )
    else:
        verdict = "CHANGED" if problems else "whole"
        say(f"{found.version}: {found.rows} rows, {verdict}, manifest {found.manifest}")
        say(f"head of its history {found.head}")
        for line in (*problems, *found.notes):
            say(f"  {line}")
    raise typer.Exit(1 if problems else 0)


@app.command("diff")
def pool_diff(
    before: Annotated[str, typer.Argument(metavar="V1", help="A version, such as v1.")],
    after: Annotated[str, typer.Argument(metavar="V2", help="Another version.")],
    pool: PoolUri,
    as_json: AsJson = False,
) -> None:
    """What was added, removed and re-scored from one version to another, by kind and reason."""
    from tasks.domain.version_diff import version_difference
    from tasks.store.archive import Archive

    archive = Archive(pool)
    found = version_difference(archive.standings(before), archive.standings(after))
    lost = {version: archive.withdrawn_from(version) for version in (before, after)}
    if as_json:
        notes = {version: list(ids) for version, ids in lost.items()}
        print_json(found.model_dump(mode="json") | {"withdrawn": notes})
        return
    for line in _difference_lines(found):
        sys.stdout.write(line + "\n")
    for version, ids in lost.items():
        if ids:
            say(f"{version} holds less than it did: {len(ids)} images were withdrawn since")


def _difference_lines(found: Difference) -> list[str]:
    """The tallies of a difference, and each image whose scores or verdict changed."""
    lines = [
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.rescored)} re-scored "
        f"({len(found.moved)} of them moved), {found.unchanged} unchanged"
    ]
    for name, tallies in found.tallies.items():
        lines += [
            f"  {name:<9} {t.count:>6}  {t.kind:<14} {t.verdict}  ({t.prompt})" for t in tallies
        ]
    for one in found.rescored:
        before, after = one.before, one.after
        lines.append(
            f"{after.id}  S_i {before.s_i:.3f} -> {after.s_i:.3f}  {before.verdict} -> "
            f"{after.verdict}"
        )
    return lines


@app.command("forget")
def pool_forget(
    source: Annotated[
        str,
        typer.Argument(help="A source: its file, its sha256, or the first 8 digits or more of it."),
    ],
    pool: PoolUri,
    why: Annotated[str, typer.Option(help="Reason, kept in the tombstone.")] = "",
    who: Annotated[str, typer.Option(help="Who asked, kept in the tombstone.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be withdrawn.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Withdraw a source with all that was made from it, from old versions' files too, for good."""
    from tasks.withdraw import withdraw_source

    found = withdraw_source(pool, source, why=why, who=who, dry_run=dry_run)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    grave = found.tombstone
    counts = ", ".join(f"{len(ids)} of {name}" for name, ids in grave.withdrawn.items())
    say(f"source {grave.source_id}: {counts} {'withdrawn' if found.done else 'would go'}")
    if found.done:
        say(f"{grave.version} stands for it; older versions hold less, and verify says so")
    for fingerprint in found.learned:
        say(f"model set {fingerprint[:12]} learned from it; its weights and folder still know it")
    if found.painted:
        say(f"{found.painted} images that such sets painted stay in the pool")
    if found.remaining:
        say("still to be deleted by hand, where it shows the source or what was made from it:")
        for place in found.remaining:
            say(f"  {place}")
    say("pictures in Prefect's artifacts, exports and copies of the pool are beyond its reach")
