"""Land: the judged candidates become one version of POOL★, accepted and rejected alike."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from prefect import task

from tasks.domain.parameters import GrowParams
from tasks.domain.records import Judged, Record, RunContext
from tasks.grown import Settled
from tasks.judge import concatenated
from tasks.models.model_set import open_model_set
from tasks.prepare import RunStart
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.rows import PoolRow, RejectedRow, RunRow, SourceRow


class Landed(Record):
    """A version as it stands in the archive, and whether verify found it whole."""

    run_id: str
    version: str
    manifest: str
    rows: int
    is_verified: bool
    problems: tuple[str, ...]


@task(task_run_name="land {start.run_id}")
def land_run(
    params: GrowParams, context: RunContext, start: RunStart, settled: Settled
) -> Landed:
    """One commit and one tag; nothing when this very run has landed before."""
    store, archive = ContentStore(context.store_uri), Archive(params.pool)
    landed = archive.land(
        _run_row(params, context, start, settled),
        pool=_rows(store, context, start, settled, accepted=True),
        rejected=_rows(store, context, start, settled, accepted=False),
        sources=(
            SourceRow(id=s.id, uri=s.uri, label=s.label, bytes=store.get(s.image))
            for s in settled.sources
        ),
        embedding_dim=open_model_set(context.models).embedding_dim,
    )
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
    params: GrowParams, context: RunContext, start: RunStart, settled: Settled
) -> RunRow:
    """What the archive keeps of the run itself."""
    figures = settled.judgement.figures
    return RunRow(
        run_id=start.run_id,
        base_version=start.base_version,
        params=params.model_dump_json(),
        calibration=json.dumps(figures.model_dump(mode="json")),
        funnel=settled.funnel.model_dump_json(),
        versions=json.dumps(open_model_set(context.models).provenance("", "")["libraries"]),
        energy=json.dumps({"method": "not measured"}),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        model_set_fingerprint=context.models_fingerprint,
    )


def _rows(
    store: ContentStore,
    context: RunContext,
    start: RunStart,
    settled: Settled,
    *,
    accepted: bool,
) -> Iterator[PoolRow | RejectedRow]:
    """The rows of one table, read from the store one by one."""
    arrays = concatenated(store, settled.measured) if settled.measured else {"id": []}
    place = {str(name): row for row, name in enumerate(arrays["id"])}
    models = open_model_set(context.models)
    for judged in settled.judgement.judged:
        if judged.verdict.accepted != accepted:
            continue
        row = place[judged.candidate.id]
        columns = _columns(judged, store, start.run_id) | {
            "embedding": arrays["embedding"][row],
            "embedding_image": arrays["embedding_image"][row],
            "model_set": models.name,
            "models": json.dumps(
                models.provenance(judged.candidate.device, judged.candidate.dtype), sort_keys=True
            ),
        }
        verdict = judged.verdict
        if accepted:
            yield PoolRow(**columns)
        else:
            yield RejectedRow(**columns, stage=str(verdict.stage), reasons=verdict.reasons)


def _columns(judged: Judged, store: ContentStore, run_id: str) -> dict[str, Any]:
    """The columns that come from the candidate and its scores."""
    candidate, scores = judged.candidate, judged.scores
    plan, edit = candidate.plan, candidate.plan.edit
    return {
        "id": candidate.id,
        "source_id": plan.source.id,
        "kind": edit.kind,
        "prompt": edit.prompt,
        "negative_prompt": edit.negative_prompt,
        "region": str(edit.region),
        "seed": edit.seed,
        "strength": edit.strength,
        "guidance_scale": edit.guidance_scale,
        "steps": edit.steps,
        "effective_steps": candidate.effective_steps,
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
        "generation": 0,
        "created_at": candidate.created_at,
        "run_id": run_id,
    }
