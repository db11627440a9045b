"""poolstar pool information and drift: what a version's images add, and how far they lie."""

import sys
from typing import Annotated

import typer

from flows.terminal import AsJson, PoolUri, Version, print_json
from tasks.domain.information import Information, InformationParams
from tasks.domain.parameters import LoopParams


def register(app: typer.Typer) -> None:
    """Add the commands to `poolstar pool`."""
    app.command("information")(pool_information)
    app.command("drift")(pool_drift)


def pool_information(
    pool: PoolUri,
    version: Version = None,
    draws: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 500,
    as_json: AsJson = False,
) -> None:
    """How rare each kind is, and what the set gains in entropy by the accepted images."""
    from tasks.watch import pool_information as measured

    found = measured(pool, InformationParams(draws=draws), version)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    sys.stdout.write("\n".join(_information_lines(found)) + "\n")


def pool_drift(
    pool: PoolUri,
    threshold: Annotated[float, typer.Option(help="Divergence (bits) that alarms.")] = 0.15,
    draws: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 300,
    as_json: AsJson = False,
) -> None:
    """How far what each version added lies from the real defects; exit status 1 on an alarm."""
    from tasks.watch import pool_drift as measured

    versions = measured(pool, LoopParams(max_divergence=threshold, draws=draws))
    alarms = [alarm for one in versions for alarm in one.alarms()]
    if as_json:
        told = [one.model_dump(mode="json") for one in versions]
        print_json({"versions": told, "alarms": alarms})
    else:
        for one in versions:
            fresh = "-" if one.fresh_share is None else f"{one.fresh_share:.0%}"
            spread = " beside ".join(
                "-" if s is None else f"{s:.3f}" for s in (one.spread, one.real_spread)
            )
            sys.stdout.write(
                f"{one.version}: {one.added} images added, generation {one.generation}, "
                f"fresh real images {fresh}, spread {spread} of real ones\n"
            )
            for each in one.divergences:
                mark = "ALARM" if each.is_alarming else ""
                sys.stdout.write(
                    f"  {each.measure:<12} {each.bits.text()} bits from {each.reference}, "
                    f"{each.rows} beside {each.reference_rows}  {mark}\n"
                )
    raise typer.Exit(1 if alarms else 0)


def _information_lines(found: Information) -> list[str]:
    """What a person reads."""
    lines = [f"{found.version}: {found.real} real images, {found.synthetic} accepted defects"]
    for kind, bits in found.rarity.items():
        told = "no real image shows it" if bits is None else f"I = {bits:.2f} bits"
        lines.append(f"  {kind:<16} {told}")
    for one in found.gains:
        lines.append(
            f"  over {one.over}: H {one.real.bits.text()}, H_eff {one.enriched.bits.text()}, "
            f"gain {one.gain.text()} bits; {one.real.correction:.3f} and "
            f"{one.enriched.correction:.3f} are Miller-Madow's"
        )
        if one.is_alarming:
            lines.append(
                f"  WARNING: {one.outside_share:.0%} of the gain over {one.over} comes from "
                "outside the real domain: it may be noise, not variety"
            )
    lines.append(
        f"  {found.outside} of {found.synthetic} lie beyond {found.limit:.3f} (q99 of the real "
        "windows' cosine distances to each other)"
    )
    return lines
