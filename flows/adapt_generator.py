"""adapt_generator: a plant's few real images and a base become a model set that knows the plant."""

import time
from collections.abc import Sequence

from prefect import flow, unmapped

from flows.reading import find_beads, read_files
from tasks.adapt_judge import AdaptationJudgement, judge_adaptation, reconstruct_windows
from tasks.adapt_paint import Painted, in_words_of, judged_edits
from tasks.adapt_plant import (
    Listed,
    Plant,
    list_plant,
    prepare_adaptation,
    unmarked,
    usable_plant,
    with_found_defects,
    with_recognised,
    words_of,
)
from tasks.adapt_report import AdaptResult, publish_adaptation
from tasks.adapt_set import assemble_adapted, candidate_folder
from tasks.adapt_train import adapt_inpainter
from tasks.adapt_windows import (
    KindShape,
    cut_windows_batch,
    embed_grid_batch,
    find_defects_batch,
    measure_shapes_batch,
)
from tasks.describe import describe_batch
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.records import PlannedEdit, Ref, Refusal, RegionStrategy, RunContext, Source
from tasks.domain.rounds import batches
from tasks.inpaint import inpaint_batch
from tasks.measure import measure_batch
from tasks.models.model_set import open_model_set
from tasks.plan import plan_batch
from tasks.recognise import pool_selections, recognise_sources


@flow(name="adapt-generator", flow_run_name="adapt {params.base} to {params.images}")
def adapt_generator(params: AdaptParams) -> AdaptResult:
    """Adapt a model set to a plant, and keep the base where that is not shown to be better.

    Args:
        params: the images, the base, the time, and how the outcome is judged.
    """
    started = time.time()
    listed = list_plant(params)
    context = prepare_adaptation(params)
    plant = _with_defects(params, context, _read_plant(params, context, listed))
    learning, judging = _cut_windows(params, context, plant)
    shapes = _measure_shapes(params, context, plant)
    base = open_model_set(context.models)
    words = words_of(params, plant, base)
    learned = adapt_inpainter(
        learning, judging, words, params.sound_prompt or base.sound_prompt, shapes, context, params
    )
    adapted = assemble_adapted(
        candidate_folder(params, learned), learned, shapes, plant, context, params
    )
    made = _paint_both(params, context, adapted, plant, words)
    judgement = _judge(params, context, adapted, plant, learning, judging, made)
    return publish_adaptation(params, context, adapted, plant, learned, made, judgement, started)


def _read_plant(params: AdaptParams, context: RunContext, listed: Listed) -> Plant:
    """Images in, sources with beads out; everything refused is kept with its reason."""
    ingested = read_files(listed.files, params.pools, params, context)
    sources = [one for part in ingested for one in part if isinstance(one, Source)]
    plant = usable_plant(listed, ingested, find_beads(sources, params, context))
    if not params.pools:
        return plant
    recognised = recognise_sources(plant.sources, pool_selections(params.pools), context)
    return with_recognised(plant, recognised, params)


def _with_defects(params: AdaptParams, context: RunContext, plant: Plant) -> Plant:
    """The plant with every defect marked; those without mask or box are found by difference."""
    hidden = unmarked(plant)
    if not hidden:
        return plant
    grids = [
        embed_grid_batch.map(
            batches(part, params.batch_size),
            [plant.beads_of(some) for some in batches(part, params.batch_size)],
            context=unmapped(context),
        )
        for part in (plant.part(judges=False, label="OK"), hidden)
    ]
    sound, searched = (grid.result() for grid in grids)
    found = find_defects_batch.map(
        batches(hidden, params.batch_size),
        [[grid] for grid in searched],
        sound=unmapped(sound),
        context=unmapped(context),
    )
    return with_found_defects(plant, found.result())


def _cut_windows(
    params: AdaptParams, context: RunContext, plant: Plant
) -> tuple[list[Ref], list[Ref]]:
    """Windows of the parts that are learned from, and of those held out."""
    parts = [batches(plant.part(judges=judges), params.batch_size) for judges in (False, True)]
    learning, judging = (
        cut_windows_batch.map(
            part,
            [plant.beads_of(some) for some in part],
            context=unmapped(context),
            params=unmapped(params.learning),
        )
        for part in parts
    )
    return learning.result(), judging.result()


def _measure_shapes(params: AdaptParams, context: RunContext, plant: Plant) -> list[KindShape]:
    """The shapes of the defects that are learned from."""
    parts = batches(plant.part(judges=False, label="KO"), params.batch_size)
    shapes = measure_shapes_batch.map(
        parts, [plant.beads_of(part) for part in parts], context=unmapped(context)
    )
    return [one for part in shapes.result() for one in part]


def _paint_both(
    params: AdaptParams,
    context: RunContext,
    adapted: RunContext,
    plant: Plant,
    words: dict[str, str],
) -> tuple[Painted, Painted]:
    """The same edits of sound parts held out, painted by the base and by the adapted set."""
    edits = batches(judged_edits(plant, open_model_set(adapted.models), params), params.batch_size)
    by_id = {source.id: source for source in plant.sources}
    sources = [[by_id[edit.source_id] for edit in part] for part in edits]
    planned = plan_batch.map(
        edits, sources, [plant.beads_of(part) for part in sources], context=unmapped(adapted)
    ).result()
    plans = [one for part in planned for one in part if not isinstance(one, Refusal)]
    in_base_words = in_words_of(plans, words, open_model_set(context.models))
    return _painted(params, context, in_base_words), _painted(params, adapted, plans)


def _painted(params: AdaptParams, context: RunContext, plans: Sequence[PlannedEdit]) -> Painted:
    """The edits painted by one set, and measured."""
    candidates = inpaint_batch.map(
        batches(plans, params.batch_size),
        context=unmapped(context),
        params=unmapped(params.inpaint),
    )
    measured = measure_batch.map(candidates, context=unmapped(context)).result()
    images = [one.image for part in candidates.result() for one in part]
    return Painted(plans=tuple(plans), images=tuple(images), measured=tuple(measured))


def _judge(
    params: AdaptParams,
    context: RunContext,
    adapted: RunContext,
    plant: Plant,
    learning: list[Ref],
    judging: list[Ref],
    made: tuple[Painted, Painted],
) -> AdaptationJudgement:
    """Both sets measured on the parts held out."""
    real = batches(plant.part(judges=True), params.batch_size)
    learned_shapes = open_model_set(adapted.models).shapes
    region = RegionStrategy.LEARNED if learned_shapes else RegionStrategy.PATCH
    described = describe_batch.map(
        real,
        [plant.beads_of(part) for part in real],
        strategies=unmapped([region]),
        context=unmapped(adapted),
    ).result()
    before = reconstruct_windows.submit(judging, context)
    after = reconstruct_windows.submit(judging, adapted)
    return judge_adaptation(
        learning,
        judging,
        described,
        (before.result(), after.result()),
        *made,
        plant.groups,
        context,
        params,
    )
