"""Land: the judged candidates become one version of POOL★, accepted and rejected alike."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.domain.energy import RunEnergy
from tasks.domain.errors import PoolMoved
from tasks.domain.parameters import GrowParams, RunParams
from tasks.domain.records import Edit, ForeignEdit, Judged, Record, RunContext
from tasks.grown import Settled
from tasks.judge import concatenated
from tasks.models.inpainter import effective_steps
from tasks.models.model_set import ModelSet, library_versions, open_model_set
from tasks.prepare import RunStart
from tasks.source_rows import source_rows
from tasks.stage import RETRIED
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.lineages import encoded_lineage
from tasks.store.rows import PoolRow, RejectedRow, RunRow


class Landed(Record):
    """A version as it stands in the archive, and whether verify found it whole."""

    run_id: str
    version: str
    manifest: str
    rows: int
    is_verified: bool
    problems: tuple[str, ...]


@task(task_run_name="land {start.run_id:.8}", cache_policy=NO_CACHE, **RETRIED)
def land_run(
    params: RunParams, context: RunContext, start: RunStart, settled: Settled, energy: RunEnergy
) -> Landed | None:
    """One commit and one tag; nothing when this very run has landed before.

    None where another run has landed since this one looked at the pool: its images may be
    duplicates of that one's, so it has to be judged anew.
    """
    store, archive = ContentStore(context.store_uri), Archive(params.pool)
    try:
        landed = archive.land(
            _run_row(params, context, start, settled, energy),
            pool=_accepted(store, context, start, settled),
            rejected=_refused(store, context, start, settled),
            sources=source_rows(store, settled, open_model_set(context.models).native_window_px),
            embedding_dim=open_model_set(context.models).embedding_dim,
        )
    except PoolMoved:
        return None
    verification = archive.verify(landed.version)
    return Landed(
        run_id=start.run_id,
        version=landed.version,
        manifest=landed.manifest,
        rows=landed.rows,
        is_verified=verification.ok,
        problems=verification.problems,
    )


def _run_row(
    params: RunParams, context: RunContext, start: RunStart, settled: Settled, energy: RunEnergy
) -> RunRow:
    """What the archive keeps of the run itself."""
    figures, models = settled.judgement.figures, open_model_set(context.models)
    lineage = models.lineage if isinstance(params, GrowParams) else None  # it painted nothing
    return RunRow(
        run_id=start.run_id,
        base_version=start.base_version,
        params=params.model_dump_json(),
        calibration=json.dumps(figures.model_dump(mode="json")),
        funnel=settled.funnel.model_dump_json(),
        versions=json.dumps(library_versions()),
        energy=energy.model_dump_json(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        model_set_fingerprint=context.models_fingerprint,
        embedder_fingerprint=models.embedder_fingerprint,
        lineage="" if lineage is None else encoded_lineage(lineage.sources, models.structure()),
    )


def _accepted(
    store: ContentStore, context: RunContext, start: RunStart, settled: Settled
) -> Iterator[PoolRow]:
    """The rows of table `pool`, read from the store one by one."""
    for judged, columns in _columns_of(store, context, start, settled):
        if judged.verdict.accepted:
            yield PoolRow(**columns())


def _refused(
    store: ContentStore, context: RunContext, start: RunStart, settled: Settled
) -> Iterator[RejectedRow]:
    """The rows of table `rejected`."""
    for judged, columns in _columns_of(store, context, start, settled):
        verdict = judged.verdict
        if not verdict.accepted:
            yield RejectedRow(**columns(), stage=str(verdict.stage), reasons=verdict.reasons)


def _columns_of(
    store: ContentStore, context: RunContext, start: RunStart, settled: Settled
) -> Iterator[tuple[Judged, Callable[[], dict[str, Any]]]]:
    """Each judged candidate with a function that reads its columns."""
    if not settled.measured:
        return
    arrays = concatenated(store, settled.measured)
    place = {str(name): row for row, name in enumerate(arrays["id"])}
    models = open_model_set(context.models)

    def read(judged: Judged) -> dict[str, Any]:
        candidate = judged.candidate
        row = place[candidate.id]
        provenance = models.provenance(candidate.making)
        return _columns(judged, store, start.run_id) | {
            **_making_columns(candidate.plan.edit, models),
            "embedding": arrays["embedding"][row],
            "embedding_image": arrays["embedding_image"][row],
            "model_set": models.name,
            "models": json.dumps(provenance, sort_keys=True),
        }

    for judged in settled.judgement.judged:
        yield judged, partial(read, judged)


def _columns(judged: Judged, store: ContentStore, run_id: str) -> dict[str, Any]:
    """The columns that come from the candidate and its scores."""
    candidate, scores = judged.candidate, judged.scores
    plan, edit = candidate.plan, candidate.plan.edit
    return {
        "id": candidate.id,
        "source_id": plan.source.id,
        "kind": edit.kind,
        "prompt": edit.prompt,
        "region": str(edit.region),
        "image": store.get(candidate.image),
        "mask": store.get(plan.region),
        "bead_mask": store.get(plan.bead.mask),
        "window_xywh": plan.window_xywh,
        "s_i": scores.s_i,
        "realism": scores.realism,
        "utility": scores.utility,
        "d_plaus": scores.d_plaus,
        "gates": json.dumps(scores.gates, sort_keys=True),
        "merged_ids": judged.merged_ids,
        "is_placebo": edit.is_placebo,
        "created_at": candidate.created_at,
        "run_id": run_id,
    }


def _making_columns(edit: Edit | ForeignEdit, models: ModelSet) -> dict[str, Any]:
    """The columns that say who made the image and how; what nobody told stays null."""
    if isinstance(edit, ForeignEdit):
        return {"maker": edit.maker, "maker_file": edit.file_sha256, "generation": edit.generation}
    return {
        "negative_prompt": edit.negative_prompt,
        "seed": edit.seed,
        "strength": edit.strength,
        "guidance_scale": edit.guidance_scale,
        "steps": edit.steps,
        "effective_steps": effective_steps(edit.steps, edit.strength),
        "generation": models.generation,
    }
