"""Watch: what a landed version gains, how far it drifts, which prompts say the same; alarms."""

from collections import Counter
from collections.abc import Sequence

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.events import emit_event

from tasks.domain.drift import VersionDrift, drift
from tasks.domain.funnel import reason_head
from tasks.domain.information import Information, InformationParams, information
from tasks.domain.parameters import LoopParams, RunParams
from tasks.domain.records import Judged, Record, RunContext
from tasks.domain.redundancy import RedundantPair, redundant_prompts
from tasks.grown import Settled
from tasks.land import Landed
from tasks.models.loading import embedder
from tasks.store.ground import Ground

EVENT = "poolstar.drift.alarm"


class Watched(Record):
    """What a version was found to be; `redundant` names prompts that could be merged."""

    information: Information
    drift: VersionDrift
    redundant: tuple[RedundantPair, ...]


@task(task_run_name="watch {landed.version}")
def watch_run(params: RunParams, context: RunContext, landed: Landed, settled: Settled) -> Watched:
    """Measure the version, and alarm by artifact and event where it drifts."""
    (found,) = pool_drift(params.pool, params.loop, [landed.version])
    told = pool_information(params.pool, InformationParams(), landed.version)
    create_table_artifact(drift_rows([found]), key="pool-drift", description="Beside real defects")
    for alarm in found.alarms():
        get_run_logger().warning(alarm)
        emit_event(
            event=EVENT,
            resource={"prefect.resource.id": f"poolstar.pool.{landed.run_id}"},
            payload={"pool": params.pool, "version": landed.version, "alarm": alarm},
        )
    pairs = _redundant(params, context, settled.judgement.judged)
    return Watched(information=told, drift=found, redundant=tuple(pairs))


def pool_information(
    pool: str, params: InformationParams, version: str | None = None
) -> Information:
    """The information of a version of a pool.

    Raises:
        BadInput: it has fewer than 4 real images.
        UnknownVersion: there is no such version.
    """
    ground = Ground(pool)
    real, made = ground.real(version), ground.made(version)
    return information(
        version or ground.versions()[-1],
        (real.kinds, real.groups, real.embedding),
        (made.kinds, made.groups, made.embedding),
        params,
    )


def pool_drift(
    pool: str, params: LoopParams, wanted: Sequence[str] | None = None
) -> tuple[VersionDrift, ...]:
    """The drift of the versions of a pool, oldest first; of all where none is named.

    Raises:
        UnknownVersion: there is no such version.
    """
    ground = Ground(pool)
    asked = ground.versions() if wanted is None else list(wanted)
    real = ground.real(asked[-1] if asked else None, defects_only=True)
    read = list(dict.fromkeys([ground.versions()[0], *asked]))
    return drift(real, [ground.added(one) for one in read], params, wanted)


def drift_rows(versions: Sequence[VersionDrift]) -> list[dict[str, object]]:
    """A table: a line a measure."""
    return [
        {
            "version": one.version,
            "measure": each.measure,
            "reference": each.reference,
            "bits": each.bits.text(3),
            "rows": f"{each.rows} beside {each.reference_rows}",
            "alarm": "alarm" if each.is_alarming else "",
        }
        for one in versions
        for each in one.divergences
    ]


def _redundant(
    params: RunParams, context: RunContext, judged: Sequence[Judged]
) -> list[RedundantPair]:
    """The run's prompts that could be merged."""
    if not params.budgets:
        return []
    verdicts = [
        Counter(
            "accepted"
            if one.verdict.accepted
            else f"{one.verdict.stage}: {reason_head(one.verdict.reasons[0])}"
            for one in judged
            if (one.candidate.plan.edit.kind, one.candidate.plan.edit.prompt)
            == (spec.kind, spec.words)
        )
        for spec in params.budgets
    ]
    with embedder(context.models, context.models_fingerprint, context.device) as model:
        rows = model.embed_text([spec.words for spec in params.budgets])
    names = [f"{spec.kind}: {spec.words}" for spec in params.budgets]
    return redundant_prompts(names, rows, verdicts, params.energy.max_prompt_cosine)
