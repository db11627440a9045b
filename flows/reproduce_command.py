"""poolstar pool reproduce: paint archived images again from their records, and compare."""

from collections import Counter
from typing import Annotated

import typer

from flows.terminal import AsJson, PoolUri, Version, print_json, say
from tasks.domain.errors import BadInput
from tasks.domain.reproduction import Reproduction


def register(app: typer.Typer) -> None:
    """Add the command to those of pools."""
    app.command("reproduce")(pool_reproduce)


def pool_reproduce(
    pool: PoolUri,
    row_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Images, accepted or refused, by 8 digits of the id or more."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every accepted image.")] = False,
    sample: Annotated[int | None, typer.Option(help="So many, drawn at random.", min=1)] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="With --all or --sample: refused ones too.")
    ] = False,
    version: Version = None,
    models: Annotated[
        str | None, typer.Option(help="Paint with this set; default: the one on record.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Paint images again from the record alone and compare, bit for bit.

    Exit status 0: all that poolstar painted are equal, and what was made elsewhere (which cannot be
    painted again) is as it was landed. 1: something is not.
    """
    if [bool(row_ids), every, sample is not None].count(True) != 1:
        raise BadInput("Expected either ids, or --all, or --sample N, but got none or several")
    if rejected and row_ids:
        raise BadInput("Expected --rejected with --all or --sample; ids find refused images too")
    from tasks.reproduce import named_ids, reproduce, sampled_ids

    if row_ids:
        ids = named_ids(pool, version, row_ids)
    else:
        ids = sampled_ids(pool, version, sample, rejected=rejected)
    found = []
    for one in reproduce(pool, version, ids, models):
        found.append(one)
        if not as_json and (row_ids or not one.holds or one.state == "foreign"):
            say(_line(one))
    states = Counter(one.state for one in found)
    if as_json:
        print_json({"counts": dict(states), "images": [one.model_dump() for one in found]})
    else:
        _summarise(found, states)
    raise typer.Exit(0 if all(one.holds for one in found) else 1)


def _line(one: Reproduction) -> str:
    """What came of one image."""
    parts = [f"{one.id}  {one.kind:<16} {one.state}"]
    if one.deviation is not None:
        far = one.deviation
        psnr = "no PSNR" if far.psnr_db is None else f"PSNR {far.psnr_db:.1f} dB in the region"
        parts.append(f"{psnr}, largest difference {far.largest}, {far.differing_px} pixels")
        parts += [f"{far.outside_px} of them outside the region"] if far.outside_px else []
    parts += [one.note] if one.note else []
    parts += [f"CHANGED SINCE IT LANDED: {', '.join(one.changed)}"] if one.changed else []
    return "; ".join(parts)


def _summarise(found: list[Reproduction], states: Counter[str]) -> None:
    """Counts, and what is not here as it was when the images were made."""
    painted = len(found) - states["foreign"]
    if painted:
        say(f"{states['equal']} of {painted} painted again, equal bit for bit")
    if states["foreign"]:
        whole = sum(not one.changed for one in found if one.state == "foreign")
        say(f"{states['foreign']} made elsewhere, cannot be painted again; {whole} as landed")
    for text, count in Counter(text for one in found for text in one.differences).most_common():
        say(f"  {text} ({count} images)")
