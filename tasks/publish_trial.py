"""Publish a trial: its result into table `trials`, its report, its artifacts, and the champion."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.domain.promotion import Promotion, promotion
from tasks.domain.records import Refusal, RunContext, content_id
from tasks.domain.splits import Division
from tasks.domain.trial_parameters import ARM_NAMES, TrialParams
from tasks.domain.trial_records import ArmFigures, Comparison, DataSummary, TrialResult
from tasks.report import default_report
from tasks.store.files import ContentStore, write_whole
from tasks.store.rows import TrialRow
from tasks.store.trials import Trials
from tasks.trial_images import TrialImages
from tasks.trial_page import markdown_tables, render_trial
from tasks.trial_run import ArmRun, MixCurve, PoolRows, intervals, paired, rules_of

NOT_IN_IDENTITY = {"dataset", "pool", "store", "report", "batch_size", "workers", "device"}


@task(task_run_name="publish trial {pool.version}")
def publish_trial(
    params: TrialParams,
    context: RunContext,
    division: Division,
    images: TrialImages,
    pool: PoolRows,
    champion: PoolRows | None,
    mix: MixCurve,
    arms: Sequence[ArmRun],
    started: float,
) -> TrialResult:
    """Record the trial, write the report, create the artifacts, and promote where asked and due.

    Raises:
        PoolstarError: the report cannot be written.
        ArchiveError: the pool cannot.
    """
    store = ContentStore(context.store_uri)
    figures = _figures(arms, store)
    comparisons = _comparisons(arms, store)
    verdict = _promotion(params, pool, champion, mix, figures, comparisons)
    result = TrialResult(
        trial_id=_trial_id(params, pool, champion, arms),
        pool=params.pool,
        version=pool.version,
        champion=champion.version if champion else None,
        models=params.models,
        synthetic=pool.kinds,
        later_generations=pool.later_generations,
        data=_summary(params, division, images, pool),
        prevalence=rules_of(params, division.prevalence).prevalence,
        mix=mix.points,
        mix_recall=[intervals(store, one.draws, one.values)["recall"] for one in mix.evaluations],
        recommended_share=mix.share,
        arms_share=mix.share or params.mix.default_share,
        arms=tuple(figures),
        comparisons=tuple(comparisons),
        skipped=_skipped(params, arms),
        promotion=verdict,
        report=params.report or default_report(params.pool, "trial.html"),
        seconds=round(time.time() - started, 1),
    )
    page = render_trial(params, result, arms, images, store)
    write_whole(Path(result.report), page.encode())
    _record(params, result)
    _artifacts(result)
    return result


def _figures(arms: Sequence[ArmRun], store: ContentStore) -> list[ArmFigures]:
    """Each arm's measures with intervals and its paired differences to `real`."""
    real = next(arm.evaluation for arm in arms if arm.name == "real")
    return [
        ArmFigures(
            arm=arm.name,
            share=arm.share,
            exposure=arm.exposure,
            measures=intervals(store, arm.evaluation.draws, arm.evaluation.values),
            difference=paired(store, arm.evaluation, real),
            by_kind=arm.evaluation.by_kind,
        )
        for arm in arms
    ]


def _comparisons(arms: Sequence[ArmRun], store: ContentStore) -> list[Comparison]:
    """`real + filtered` against every other arm."""
    filtered = next((arm.evaluation for arm in arms if arm.name == "filtered"), None)
    if filtered is None:
        return []
    return [
        Comparison(other=arm.name, difference=paired(store, filtered, arm.evaluation))
        for arm in arms
        if arm.name != "filtered"
    ]


def _promotion(
    params: TrialParams,
    pool: PoolRows,
    champion: PoolRows | None,
    mix: MixCurve,
    figures: Sequence[ArmFigures],
    comparisons: Sequence[Comparison],
) -> Promotion | None:
    """The verdict on the version, where the arm that would show it was run."""
    filtered = next((one for one in figures if one.arm == "filtered"), None)
    if filtered is None:
        return None
    against = {one.other: one.difference["recall"] for one in comparisons}
    return promotion(
        pool.version, mix.share, filtered.difference["recall"], against.get("champion"),
        champion.version if champion else None, params.margin,
    )  # fmt: skip


def _trial_id(
    params: TrialParams, pool: PoolRows, champion: PoolRows | None, arms: Sequence[ArmRun]
) -> str:
    """Equal for equal parameters, versions and figures, wherever images and pool lie."""
    return content_id(
        params.model_dump_json(exclude=NOT_IN_IDENTITY),
        pool.version, pool.manifests, champion.manifests if champion else {},
        sorted((arm.name, arm.evaluation.draws.sha256) for arm in arms),
    )  # fmt: skip


def _summary(
    params: TrialParams, division: Division, images: TrialImages, pool: PoolRows
) -> DataSummary:
    """The data in numbers."""
    counts = {
        name: Counter(one.source.label for one in part)
        for name, part in (("train", images.train), ("test", images.test))
    }
    kinds = [Counter(one.source.kind for one in part) for part in (images.train, images.test)]
    return DataSummary(
        dataset=params.dataset,
        note=division.note,
        train_ok=counts["train"]["OK"],
        train_ko=counts["train"]["KO"],
        test_ok=counts["test"]["OK"],
        test_ko=counts["test"]["KO"],
        train_groups=len({one.group for one in images.train}),
        test_groups=len({one.group for one in images.test}),
        kinds={name: (kinds[0][name], kinds[1][name]) for name in sorted(kinds[0] | kinds[1])},
        refused=_by_reason(images.refusals),
        without_bead=images.without_bead,
        dropped=images.dropped,
        ood={name: len(part) for name, part in images.ood.items()},
        adapted_on=sum(one.source.id in pool.trained_on for one in images.train),
    )


def _by_reason(refusals: Sequence[Refusal]) -> dict[str, tuple[str, ...]]:
    """The names of what was refused, by the reason."""
    names: dict[str, list[str]] = defaultdict(list)
    for one in refusals:
        names[one.reason].append(one.subject)
    return {reason: tuple(found) for reason, found in names.items()}


def _skipped(params: TrialParams, arms: Sequence[ArmRun]) -> dict[str, str]:
    """Arms that were asked for and could not be run."""
    run = {arm.name for arm in arms}
    return {
        ARM_NAMES[arm]: "too few training defects have a mask to copy them by"
        for arm in params.arms
        if arm not in run
    }


def _record(params: TrialParams, result: TrialResult) -> None:
    """The trial in the pool's table, and the champion's tag where it is due."""
    verdict = result.promotion
    is_promoted = bool(verdict and verdict.is_due) if params.promote else None
    Trials(params.pool).record(
        TrialRow(
            trial_id=result.trial_id,
            version=result.version,
            dataset=params.dataset,
            recommended_share=result.recommended_share,
            is_promoted=is_promoted,
            reason=verdict.reason if verdict else "the arm `filtered` was not run",
            params=params.model_dump_json(),
            result=result.model_dump_json(),
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
    )


def _artifacts(result: TrialResult) -> None:
    """The main tables for the Prefect UI."""
    create_markdown_artifact(
        markdown_tables(result), key="trial-result", description=f"{result.pool} {result.version}"
    )
    create_table_artifact(
        [
            {"arm": arm.arm, "share": arm.share}
            | {name: round(estimate.value, 4) for name, estimate in arm.measures.items()}
            for arm in result.arms
        ],
        key="trial-measures",
        description="Every measure of every arm",
    )
