"""judge_candidates: images made elsewhere, through the same scores and gates, into POOL★."""

import time
from collections.abc import Sequence

from prefect import flow, unmapped

from flows.reading import read_sources
from tasks.adopt import adopt_batch, read_pairs
from tasks.describe import describe_batch
from tasks.domain.parameters import JudgeParams
from tasks.domain.planning import default_region
from tasks.domain.records import Candidate, Pair, PairFile, Ref, Refusal, RunContext
from tasks.domain.rounds import batches
from tasks.foreign import JudgeResult, beads_of_pairs, judge_result, require_candidates
from tasks.judge import judge_run
from tasks.land import land_run
from tasks.measure import measure_batch
from tasks.prepare import prepare_run, snapshot_pool
from tasks.report import publish_run
from tasks.segment import segment_batch
from tasks.store.pairs import list_pairs


@flow(name="judge-candidates", flow_run_name="judge for {params.pool}", log_prints=False)
def judge_candidates(params: JudgeParams) -> JudgeResult:
    """Judge candidates made elsewhere against real images, and land them like our own.

    Args:
        params: the candidates, who made them, the real images, the pool, and how strictly.
    """
    started = time.time()
    files, refused = list_pairs(
        params.candidates, kind=params.kind, maker=params.maker, generation=params.generation
    )
    context = prepare_run(params)
    grown = read_sources(params, context)
    strategies = list(dict.fromkeys(default_region(file.kind) for file in files))
    described = describe_batch.map(
        batches(grown.real_sources, params.batch_size),
        batches(grown.real_beads, params.batch_size),
        strategies=unmapped(strategies or [default_region(params.kind)]),
        context=unmapped(context),
    ).result()
    reference = grown.real_sources
    grown.add_adopted([refused, *_adopted(files, params, context)])
    require_candidates(grown)
    run = snapshot_pool(params, context, reference, grown.candidates)
    grown.measured.extend(_measured(grown.candidates, params, context))
    judgement = judge_run(
        grown.candidates, grown.measured, described, run.pool_embeddings, params, context, "foreign"
    )
    settled = grown.settled(judgement)
    landed = land_run(params, context, run, settled)
    return judge_result(publish_run(params, context, landed, settled, started), settled)


def _adopted(
    files: list[PairFile], params: JudgeParams, context: RunContext
) -> list[Sequence[Candidate | Refusal]]:
    """Pairs read, their sources' beads found, and their regions."""
    read = read_pairs.map(
        batches(files, params.batch_size), context=unmapped(context), params=unmapped(params.ingest)
    ).result()
    pairs = [one for part in read for one in part if isinstance(one, Pair)]
    refusals = [one for part in read for one in part if isinstance(one, Refusal)]
    sources = list({pair.source.id: pair.source for pair in pairs}.values())
    segmented = segment_batch.map(
        batches(sources, params.batch_size),
        context=unmapped(context),
        params=unmapped(params.segment),
    ).result()
    beads = beads_of_pairs(pairs, sources, segmented)
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
