"""run_trial: does the pool make a detector better on real images held out? (article, section 4)."""

import time
from collections.abc import Sequence

from prefect import flow, unmapped

from flows.grow_pool import grow_pool
from flows.reading import find_beads, read_files
from tasks.dataset import growth_of, open_dataset, prompts_of
from tasks.domain.mix import recommended_share
from tasks.domain.perturbation import SEVERITIES
from tasks.domain.records import Bead, Ref, Refusal, RunContext
from tasks.domain.rounds import batches
from tasks.domain.splits import Division
from tasks.domain.trial_parameters import TrialParams
from tasks.domain.trial_records import Place, ScoredSet, Trained, Training, TrialResult, ViewedImage
from tasks.evaluate import EvaluationRules, evaluate_arm, price_share
from tasks.frame import frame_batch
from tasks.prepare import prepare_trial
from tasks.publish_trial import publish_trial
from tasks.score import score_detector
from tasks.stage import threads
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.train import train_detector
from tasks.trial_images import TrialImages
from tasks.trial_run import (
    ArmRun,
    MixCurve,
    PoolRows,
    TrialViews,
    planned_arms,
    pool_images,
    rules_of,
    trainings,
    view_size,
)
from tasks.views import (
    perturb_batch,
    structure_batch,
    structure_sources,
    subset_views,
    view_batch,
    view_pool_batch,
)


@flow(name="run-trial", flow_run_name="trial {params.dataset}", log_prints=False)
def run_trial(params: TrialParams) -> TrialResult:
    """Compare detectors trained with and without the pool, on real images held out.

    Args:
        params: the dataset, the pool, the arms, the detector, the price of errors.
    """
    started = time.time()
    division, refused = open_dataset(params)
    if Archive(params.pool).latest() is None:
        grow = grow_pool.with_options(task_runner=threads(params.workers))
        grow(growth_of(params, division, prompts_of(params, division)))
    context = prepare_trial(params)
    pool, champion = pool_images(params)
    images = _read_images(params, context, division, refused)
    known = structure_sources(pool.selection("sources"), pool.selection("lineages"), context)
    images = _without_leaks(params, context, images, known)
    places = images.places(known, ContentStore(context.store_uri))
    views = _cut_views(params, context, images, places, pool, champion)
    rules = rules_of(params, division.prevalence)
    mix = _find_mix(params, context, views, rules)
    arms = _compare_arms(params, context, views, rules, mix)
    return publish_trial(params, context, division, images, pool, champion, mix, arms, started)


def _read_images(
    params: TrialParams, context: RunContext, division: Division, refused: Sequence[Refusal]
) -> TrialImages:
    """Every image of the dataset read, its bead found, and its place in the trial known.

    What was withdrawn from the pool is refused like what cannot be read.
    """
    files = [*division.train, *division.test, *division.ood]
    ingested = read_files(files, [params.pool], params, context)
    sources = [one for part in ingested for one in part if not isinstance(one, Refusal)]
    segmented = find_beads(sources, params, context)
    beads = [one for part in segmented for one in part if isinstance(one, Bead)]
    frames = frame_batch.map(batches(beads, params.batch_size), context=unmapped(context)).result()
    return TrialImages.of(division, ingested, beads, frames, refused)


def _without_leaks(
    params: TrialParams, context: RunContext, images: TrialImages, known: Ref
) -> TrialImages:
    """The images, once nothing knows a test image: no pool, model set or training."""
    structures = structure_batch.map(
        batches([one.source for one in images.everything()], params.batch_size),
        context=unmapped(context),
    )
    store = ContentStore(context.store_uri)
    return images.without_leaks(structures.result(), known, store, params)


def _cut_views(
    params: TrialParams,
    context: RunContext,
    images: TrialImages,
    places: dict[str, Place],
    pool: PoolRows,
    champion: PoolRows | None,
) -> TrialViews:
    """What the detectors see of every image, real, synthetic and perturbed."""
    hw_px = view_size(params)

    def real(part: Sequence[ViewedImage]) -> list[Ref]:
        parts = batches(part, params.batch_size)
        return view_batch.map(parts, hw_px=unmapped(hw_px), context=unmapped(context)).result()

    def synthetic(rows: PoolRows | None, table: str) -> list[Ref]:
        if rows is None or not rows.ids[table]:
            return []
        return view_pool_batch.map(
            unmapped(rows.selection(table)),
            batches(rows.ids[table], params.batch_size),
            places=unmapped(places),
            hw_px=unmapped(hw_px),
            context=unmapped(context),
        ).result()

    test = real(images.test)
    subset = subset_views(test, params.robust_ok, params.robust_ko, params.run_seed, context)
    names = [(name, severity) for name in SEVERITIES for severity in range(3)]
    perturbed = perturb_batch.map(
        unmapped(subset),
        [name for name, _ in names],
        [severity for _, severity in names],
        context=unmapped(context),
    ).result()
    return TrialViews(
        real=real(images.train),
        test=test,
        pool=synthetic(pool, "pool"),
        rejected=synthetic(pool, "rejected"),
        champion=synthetic(champion, "pool"),
        ood={name: real(part) for name, part in images.ood.items() if part},
        subset=subset,
        perturbed={
            f"{name}:{severity}": ref
            for (name, severity), ref in zip(names, perturbed, strict=True)
        },
    )


def _find_mix(
    params: TrialParams, context: RunContext, views: TrialViews, rules: EvaluationRules
) -> MixCurve:
    """E[C] on validation for each share of synthetic images, and the share it recommends."""
    shares = sorted(set(params.mix.shares))
    runs = [
        trainings("filtered" if share else "real", share, views.real, views.pool, params)
        for share in shares
    ]
    _, scores = _trained_and_scored(params, context, runs, views.basic_sets())
    points = price_share.map(
        scores,
        shares,
        validation=unmapped(tuple(views.real)),
        rules=unmapped(rules),
        context=unmapped(context),
    ).result()
    evaluations = evaluate_arm.map(
        scores,
        sets=unmapped(views.basic_sets()),
        rules=unmapped(rules),
        context=unmapped(context),
    ).result()
    return MixCurve(
        points=tuple(points), evaluations=tuple(evaluations), share=recommended_share(points)
    )


def _compare_arms(
    params: TrialParams,
    context: RunContext,
    views: TrialViews,
    rules: EvaluationRules,
    mix: MixCurve,
) -> list[ArmRun]:
    """Every arm at the recommended share, measured on everything."""
    store = ContentStore(context.store_uri)
    planned = planned_arms(params, views, mix, store)
    trained, scores = _trained_and_scored(
        params, context, [one.trainings for one in planned], views.all_sets()
    )
    evaluations = evaluate_arm.map(
        scores,
        sets=unmapped(views.labelled_sets()),
        rules=unmapped(rules),
        context=unmapped(context),
    ).result()
    return [
        ArmRun(name=one.name, share=one.share, exposure=run[0].exposure, evaluation=evaluation)
        for one, run, evaluation in zip(planned, trained, evaluations, strict=True)
    ]


def _trained_and_scored(
    params: TrialParams,
    context: RunContext,
    runs: Sequence[Sequence[Training]],
    sets: Sequence[ScoredSet],
) -> tuple[list[list[Trained]], list[list[Ref]]]:
    """Each run's detectors and their scores, all trainings side by side."""
    trained = train_detector.map(
        [one for run in runs for one in run],
        context=unmapped(context),
        params=unmapped(params.detector),
    )
    scored = score_detector.map(
        trained,
        sets=unmapped(sets),
        context=unmapped(context),
        params=unmapped(params.detector),
    )
    return batches(trained.result(), params.seeds), batches(scored.result(), params.seeds)
