"""poolstar export: a pool in the formats that other tools open."""

from typing import Annotated

import typer

from flows.terminal import AsJson, PoolUri, Version, print_json, say
from tasks.domain.export_records import ExportFormat, ExportParams


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(export)


def export(
    form: Annotated[ExportFormat, typer.Argument(metavar="FORMAT", help="Who is to read it.")],
    pool: PoolUri,
    out: Annotated[str, typer.Option(help="Folder to write: new, or an earlier export's.")],
    version: Version = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; repeat.")] = None,
    with_placebos: Annotated[
        bool, typer.Option("--with-placebos/--no-placebos", help="Placebos, as sound images.")
    ] = True,
    with_sources: Annotated[
        bool, typer.Option("--with-sources", help="The real sound images too.")
    ] = False,
    splits: Annotated[
        str | None,
        typer.Option(help="Shares by source, e.g. train=.8,val=.2 (default), or none."),
    ] = None,
    group_pattern: Annotated[
        str | None, typer.Option(help="Regex on a source's URI; its group is never divided.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Terms the images are given on under.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a pool as imagefolder, coco, yolo, mvtec, parquet or fiftyone, card included."""
    from tasks.store.exports.export import export_pool

    params = ExportParams(
        format=form,
        pool=pool,
        out=out,
        version=version,
        kinds=tuple(kind or ()),
        with_placebos=with_placebos,
        with_sources=with_sources,
        splits=splits,
        group_pattern=group_pattern,
        licence=licence,
    )
    result = export_pool(params)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for split, counts in result.by_split.items():
        say(f"  {split:<8} " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    if result.region_masks:
        say(f"  {result.region_masks} masks are the region: no change stands out")
    say(f"{result.version}: {result.images} images, {result.files} files in {result.folder}")
