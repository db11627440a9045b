"""Publish: the HTML report, and what a person should see in the Prefect UI as artifacts."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)

from tasks.domain.energy import RunEnergy
from tasks.domain.markdown import cell
from tasks.domain.parameters import GrowParams, RunParams
from tasks.domain.records import RunContext
from tasks.gallery import Tile
from tasks.grown import GrowResult, Settled
from tasks.land import Landed
from tasks.ledger_page import energy_line, energy_rows
from tasks.models.model_set import open_model_set
from tasks.report_page import accepted_tiles, render_page
from tasks.store.files import ContentStore, write_whole
from tasks.store.remote import place
from tasks.watch import Watched

GALLERY_BYTES = 1_400_000  # Prefect's UI grows slow above some 1.5 MB


@task(task_run_name="publish {landed.version}")
def publish_run(
    params: RunParams,
    context: RunContext,
    landed: Landed,
    settled: Settled,
    energy: RunEnergy,
    watched: Watched,
    started: float,
) -> GrowResult:
    """Write the report, create the artifacts, and say what came of the run.

    Args:
        params, context, landed, settled: the run.
        energy, watched: what it used, and what the version was found to be.
        started: `time.time()` when it began.

    Raises:
        PoolstarError: the report cannot be written.
    """
    store = ContentStore(context.store_uri)
    seconds = time.time() - started
    when = datetime.now(UTC).isoformat(timespec="seconds")
    models = open_model_set(context.models)
    accepted = [one for one in settled.judgement.judged if one.verdict.accepted]
    tiles, hidden = accepted_tiles(accepted, store)
    page = render_page(
        params, models, landed, settled, store, energy, watched,
        tiles=tiles, hidden=hidden, seconds=seconds, when=when,
    )  # fmt: skip
    path = params.report or default_report(params.pool)
    write_whole(path, page.encode())
    create_markdown_artifact(
        gallery_markdown(landed, (tile for group in tiles.values() for tile in group)),
        key="pool-gallery",
        description=f"{params.pool} {landed.version}: source, region, candidate",
    )
    create_table_artifact(
        [row.model_dump(mode="json") for row in settled.funnel.rows]
        + [
            {"stage": "accepted", "reason": kind, "count": count}
            for kind, count in settled.funnel.accepted.items()
        ],
        key="pool-funnel",
        description=f"Where {settled.funnel.listed} images and {settled.funnel.edits} edits went",
    )
    create_table_artifact(
        energy_rows(energy),
        key="pool-energy",
        description=f"{energy_line(energy)}. {energy.method}",
    )
    return GrowResult(
        version=landed.version,
        manifest=landed.manifest,
        accepted=len(accepted),
        funnel=settled.funnel,
        report=path,
        seconds=round(seconds, 1),
        joules=round(energy.joules, 1),
        is_energy_estimated=energy.is_estimate,
        alarms=tuple(watched.drift.alarms()),
    )


def report_progress(params: GrowParams, missing: Sequence[int]) -> None:
    """How much of what was asked has been accepted so far, as a progress artifact."""
    wanted = sum(spec.target for spec in params.prompts)
    create_progress_artifact(
        progress=100.0 * (1 - sum(missing) / wanted),
        key="pool-progress",
        description=f"{params.pool}: {wanted - sum(missing)} of {wanted} accepted",
    )


def default_report(pool: str, name: str = "report.html") -> str:
    """Where a report goes when the user names no place: beside the pool."""
    return str(place(pool.rstrip("/")).parent / name)


def gallery_markdown(landed: Landed, tiles: Iterable[Tile]) -> str:
    """Tiles under their kind and prompt, cut before they weigh too much for the UI.

    No table: the UI would squeeze the pictures into its columns.
    """
    lines = [
        f"# POOL★ {landed.version}",
        f"{landed.rows} images, manifest `{landed.manifest[:16]}`, "
        + ("verified" if landed.is_verified else "**changed since it was written**")
        + ". Source, edited region, candidate:",
    ]
    size, cut, shown = sum(map(len, lines)), 0, ""
    for tile in tiles:
        heading = f"## {cell(tile.kind)}: {cell(tile.prompt)}"
        picture = (
            f"![{cell(tile.kind)}]({tile.strip}) S_i {tile.s_i:.2f}, "
            f"realism {tile.realism:.2f}, D_plaus {tile.d_plaus:.2f}"
        )
        new = ["", picture] if heading == shown else ["", heading, "", picture]
        if size + sum(len(line) + 1 for line in new) > GALLERY_BYTES:
            cut += 1
            continue
        size += sum(len(line) + 1 for line in new)
        lines, shown = lines + new, heading
    if cut:
        lines += ["", f"{cut} more in the HTML report."]
    return "\n".join(lines)
