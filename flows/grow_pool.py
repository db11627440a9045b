"""grow_pool: a folder of real images becomes a new version of POOL★ (article, section 3)."""

from prefect import flow, get_run_logger, unmapped

from flows.landing import land_and_publish
from flows.reading import read_sources
from tasks.deployed import check_places
from tasks.describe import describe_batch
from tasks.domain.judging import Judgement
from tasks.domain.parameters import GrowParams
from tasks.domain.planning import plan_round
from tasks.domain.records import Ref, RunContext
from tasks.domain.rounds import batches, shortfalls
from tasks.energy import begin_run
from tasks.grown import Grown, GrowResult, Settled, strategies_of
from tasks.inpaint import inpaint_batch
from tasks.judge import judge_run
from tasks.measure import measure_batch
from tasks.models.model_set import open_model_set
from tasks.plan import plan_batch
from tasks.prepare import RunStart, prepare_run, snapshot_pool, with_words
from tasks.report import report_progress
from tasks.runners import on_its_runner


@flow(name="grow-pool", flow_run_name="grow {params.pool}", log_prints=False)
@on_its_runner
def grow_pool(params: GrowParams) -> GrowResult:
    """Grow POOL★ by the prompted defects, from the real images of a folder.

    Args:
        params: what to grow, from what, how much, and how strictly.
    """
    check_places(params)
    began = begin_run(params)
    params = with_words(params, open_model_set(params.models))
    context = prepare_run(params)
    grown = read_sources(params, context)
    described = describe_batch.map(
        batches(grown.real_sources, params.batch_size),
        batches(grown.real_beads, params.batch_size),
        strategies=unmapped(strategies_of(params)),
        context=unmapped(context),
    ).result()

    def judge() -> tuple[RunStart, Settled]:
        start, attempt = snapshot_pool(params, context, grown.real_sources), grown.begun_anew()
        judgement = _grow_rounds(params, context, attempt, described, start)
        return start, attempt.settled(judgement, described)

    result, _ = land_and_publish(params, context, began, judge)
    return result


def _grow_rounds(
    params: GrowParams, context: RunContext, grown: Grown, described: list[Ref], start: RunStart
) -> Judgement:
    """Reject and try again, until each prompt has its target or its rounds are spent."""
    missing = [spec.target for spec in params.prompts]
    judgement = Judgement()
    for round_index in range(params.max_rounds):
        edits = plan_round(
            grown.editable_ids(),
            params.prompts,
            missing,
            grown.edits,
            params,
            defaults=start.defaults,
            round_index=round_index,
        )
        if not edits:
            break
        parts = batches(edits, params.batch_size)
        plans = plan_batch.map(
            parts,
            [grown.sources_of(part) for part in parts],
            [grown.beads_of(part) for part in parts],
            context=unmapped(context),
        ).result()
        todo = batches(grown.add_plans(edits, plans), params.batch_size)
        candidates = inpaint_batch.map(
            todo, context=unmapped(context), params=unmapped(params.inpaint)
        )
        measured = measure_batch.map(candidates, context=unmapped(context))
        grown.add_candidates(candidates.result(), measured.result())
        judgement = judge_run(
            grown.candidates,
            grown.measured,
            described,
            start.known,
            params,
            context,
            f"round {round_index + 1}",
        )
        missing = shortfalls(params.prompts, judgement.judged)
        report_progress(params, missing)
        get_run_logger().info("round %d: %s still missing", round_index + 1, missing)
    return judgement
