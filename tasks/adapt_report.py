"""Publish an adaptation: the folder it leaves, the report, and the artifacts of the Prefect UI."""

import time
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.adapt_judge import AdaptationJudgement
from tasks.adapt_page import before_and_after, figure_rows, real_defects, render_adaptation
from tasks.adapt_paint import Painted
from tasks.adapt_plant import Plant
from tasks.adapt_set import settle
from tasks.adapt_train import Learned
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.markdown import cell
from tasks.domain.records import Record, RunContext
from tasks.models.model_set import open_model_set
from tasks.store.files import ContentStore, write_whole

GALLERY_ROWS = 24


class AdaptResult(Record):
    """What an adaptation reports back: its folder, and whether that is adapted or the base."""

    out: str
    is_adapted: bool
    reasons: tuple[str, ...]
    fingerprint: str
    learning: dict[str, float]
    judgement: AdaptationJudgement
    refused: int
    weak: int
    report: str
    seconds: float


@task(task_run_name="publish {params.out}")
def publish_adaptation(
    params: AdaptParams,
    context: RunContext,
    adapted: RunContext,
    plant: Plant,
    learned: Learned,
    made: tuple[Painted, Painted],
    judgement: AdaptationJudgement,
    started: float,
) -> AdaptResult:
    """Leave the better of the two sets, write the report, create the artifacts.

    Raises:
        PoolstarError: the folder or the report cannot be written.
    """
    store, verdict = ContentStore(context.store_uri), judgement.verdict
    base = open_model_set(context.models)
    models = settle(Path(params.out), Path(adapted.models), base, judgement.figures, verdict)
    seconds = time.time() - started
    rows = before_and_after(store, made)
    page = render_adaptation(
        params, base, models, plant, learned, judgement, rows,
        real_defects(store, plant, base.native_window_px), seconds=seconds,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    path = params.report or f"{params.out.rstrip('/')}.html"
    write_whole(path, page.encode())
    said = "the adapted set replaces its base" if verdict.is_better else "the base stays"
    create_markdown_artifact(
        "\n".join(
            [
                f"# {cell(params.out)}: {said}", *(f"- {cell(r)}" for r in verdict.reasons), "",
                "| kind | source, region, base, adapted |", "|---|---|",
                *(f"| {cell(row.kind)} | ![]({row.strip}) |" for row in rows[:GALLERY_ROWS]),
            ]
        ),
        key="adaptation-gallery",
        description=f"{params.base} adapted to {params.images}: the same edits by both",
    )  # fmt: skip
    create_table_artifact(
        figure_rows(judgement), key="adaptation-figures", description="Base and adapted, held out"
    )
    return AdaptResult(
        out=params.out, is_adapted=verdict.is_better, reasons=verdict.reasons,
        fingerprint=models.fingerprint, learning=learned.figures, judgement=judgement,
        refused=len(plant.refusals), weak=len(plant.weak), report=str(path),
        seconds=round(seconds, 1),
    )  # fmt: skip
