"""judge_candidates: images made elsewhere, through the same scores and gates, into POOL★."""

from collections.abc import Sequence

from prefect import flow, unmapped

from flows.landing import land_and_publish
from flows.reading import find_beads, read_sources
from tasks.adopt import adopt_batch, read_pairs
from tasks.deployed import check_places
from tasks.describe import describe_batch
from tasks.domain.parameters import JudgeParams
from tasks.domain.planning import default_region
from tasks.domain.records import Candidate, Pair, PairFile, Ref, Refusal, RunContext, Source
from tasks.domain.rounds import batches
from tasks.energy import begin_run
from tasks.foreign import JudgeResult, beads_of_pairs, judge_result, require_candidates, take_in
from tasks.grown import Grown, Settled
from tasks.judge import judge_run
from tasks.measure import measure_batch
from tasks.prepare import RunStart, forgotten_sources, prepare_run, snapshot_pool
from tasks.runners import on_its_runner
from tasks.store.pairs import list_pairs


@flow(name="judge-candidates", flow_run_name="judge for {params.pool}", log_prints=False)
@on_its_runner
def judge_candidates(params: JudgeParams) -> JudgeResult:
    """Judge candidates made elsewhere against real images, and land them like our own.

    Args:
        params: the candidates, who made them, the real images, the pool, and how strictly.
    """
    check_places(params)
    began = begin_run(params)
    files, refused = list_pairs(
        params.candidates, kind=params.kind, maker=params.maker, generation=params.generation
    )
    context = prepare_run(params)
    grown = read_sources(params, context)
    reference = grown.real_sources
    described = _described(reference, grown, files, params, context)
    adopted = _adopted(files, params, context)
    new = take_in(grown, [refused, *adopted], params.loop.allow_generation)
    require_candidates(grown)
    grown.measured.extend(_measured(grown.candidates, params, context))
    of_new = _described(new, grown, files, params, context)  # to be kept, not to judge by

    def judge() -> tuple[RunStart, Settled]:
        start = snapshot_pool(params, context, reference, grown.candidates)
        judgement = judge_run(
            grown.candidates, grown.measured, described, start.known, params, context, "foreign"
        )
        return start, grown.settled(judgement, described + of_new)

    result, settled = land_and_publish(params, context, began, judge)
    return judge_result(result, settled)


def _described(
    sources: list[Source],
    grown: Grown,
    files: list[PairFile],
    params: JudgeParams,
    context: RunContext,
) -> list[Ref]:
    """What real images look like, zone by zone, in zones as the candidates' kinds suggest."""
    kinds = [file.kind for file in files] or [params.kind]
    strategies = list(dict.fromkeys(default_region(kind) for kind in kinds))
    return describe_batch.map(
        batches(sources, params.batch_size),
        batches([grown.beads[one.id] for one in sources], params.batch_size),
        strategies=unmapped(strategies),
        context=unmapped(context),
    ).result()


def _adopted(
    files: list[PairFile], params: JudgeParams, context: RunContext
) -> list[Sequence[Candidate | Refusal]]:
    """Pairs read, their sources' beads found, and their regions."""
    read = read_pairs.map(
        batches(files, params.batch_size),
        context=unmapped(context),
        params=unmapped(params.ingest),
        forgotten=unmapped(forgotten_sources([params.pool])),
    ).result()
    pairs = [one for part in read for one in part if isinstance(one, Pair)]
    refusals = [one for part in read for one in part if isinstance(one, Refusal)]
    sources = list({pair.source.id: pair.source for pair in pairs}.values())
    beads = beads_of_pairs(pairs, sources, find_beads(sources, params, context))
    adopted = adopt_batch.map(
        batches(pairs, params.batch_size),
        batches(beads, params.batch_size),
        context=unmapped(context),
    ).result()
    return [refusals, *adopted]


def _measured(candidates: list[Candidate], params: JudgeParams, context: RunContext) -> list[Ref]:
    """The figures of all candidates, a ref a batch."""
    return measure_batch.map(
        batches(candidates, params.batch_size), context=unmapped(context)
    ).result()
