"""poolstar trial, nightly, trials and trial-factory: the commands that prove a pool."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.terminal import (
    AsJson,
    Cluster,
    Gpus,
    Models,
    PoolUri,
    Runner,
    Surface,
    SurfaceMask,
    Version,
    Workers,
    print_json,
    quiet_prefect,
    runner_of,
    say,
    surface_of,
)
from tasks.domain.errors import BadInput
from tasks.domain.parameters import FactoryParams, PromptSpec, SegmentParams
from tasks.domain.trial_parameters import (
    DetectorParams,
    GrowthParams,
    MixParams,
    NightlyParams,
    PriceParams,
    SplitParams,
    TrialParams,
)
from tasks.domain.trial_records import TrialResult, arm_name

QUICK: dict[str, Any] = {
    "arms": ("real", "filtered", "unfiltered", "classic", "copy_paste"),
    "seeds": 2,
    "max_images": 120,
    "resamples": 200,
    "mix": MixParams(shares=(0.0, 0.15, 0.3)),
    "grow": GrowthParams(target=8, max_sources=60, max_rounds=1),
    "detector": DetectorParams(steps=150),
}
Dataset = Annotated[
    str, typer.Argument(help="ok/ and ko/<kind>/, MVTec AD's layout, or a manifest (.csv).")
]
Quick = Annotated[bool, typer.Option("--quick", help="Minutes instead of most of an hour.")]
Report = Annotated[str | None, typer.Option(help="Where the HTML report goes.")]
Kinds = Annotated[list[str], typer.Option("--kind", help="Kinds to grow, one a prompt.")]
Prompts = Annotated[list[str], typer.Option("--prompt", help="What to paint, one a kind.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(trial)
    app.command()(nightly)
    app.command()(trials)
    app.command("trial-factory")(trial_factory)


def trial(
    dataset: Dataset,
    pool: PoolUri,
    quick: Quick = False,
    models: Models = "tiny",
    version: Version = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only these arms; repeat.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings an arm.")] = None,
    detector: Annotated[Literal["cnn", "probe"], typer.Option(help="cnn or probe.")] = "cnn",
    surface: Surface = None,
    mask: SurfaceMask = None,
    new_split: Annotated[bool, typer.Option("--new-split", help="Divide anew by group.")] = False,
    group_pattern: Annotated[str | None, typer.Option(help="Regex for the part's name.")] = None,
    drop_leaks: Annotated[bool, typer.Option("--drop-leaks", help="Leave leaks out.")] = False,
    cost_fn: Annotated[float, typer.Option(help="Cost of a missed defect.")] = 100.0,
    cost_fp: Annotated[float, typer.Option(help="Cost of a false alarm.")] = 1.0,
    prevalence: Annotated[float | None, typer.Option(help="The plant's share of KO.")] = None,
    kind: Kinds = [],  # noqa: B006
    prompt: Prompts = [],  # noqa: B006
    target: Annotated[int | None, typer.Option(help="Images to grow a kind.")] = None,
    seed: Annotated[int, typer.Option(help="Run seed.")] = 0,
    runner: Runner = None,
    cluster: Cluster = None,
    gpus: Gpus = 0.0,
    workers: Workers = None,
    store: Annotated[str | None, typer.Option(help="Folder of intermediate files.")] = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Does the pool make a detector better on real images held out? Grows it where it is new."""
    changes = dict(QUICK) if quick else {}
    changes |= {"arms": tuple(arm)} if arm else {}
    changes |= {"seeds": seeds} if seeds else {}
    growth = changes.get("grow", GrowthParams())
    changes["grow"] = growth.model_copy(
        update={"prompts": _prompts(kind, prompt, target or growth.target)}
        | ({"target": target} if target else {})
    )
    budget = changes.get("detector", DetectorParams())
    changes["detector"] = budget.model_copy(update={"kind": detector})
    split = {"use": "new" if new_split else "auto", "leaks": "drop" if drop_leaks else "refuse"}
    params = TrialParams.model_validate(
        {
            **changes, "dataset": dataset, "pool": pool, "models": models, "version": version,
            "segment": {**surface_of(surface, mask), "points_per_side": 8},
            "split": SplitParams.model_validate({**split, "group_pattern": group_pattern}),
            "price": PriceParams(cost_fn=cost_fn, cost_fp=cost_fp, prevalence=prevalence),
            "run_seed": seed, "store": store, "report": report,
            **runner_of(runner, cluster, gpus, workers),
        }
    )  # fmt: skip
    _show(_run(params), as_json)


def nightly(
    dataset: Dataset,
    pool: PoolUri,
    quick: Quick = False,
    models: Models = "tiny",
    margin: Annotated[float, typer.Option(help="Recall a version may lose.")] = 0.02,
    surface: Surface = None,
    mask: SurfaceMask = None,
    runner: Runner = None,
    cluster: Cluster = None,
    gpus: Gpus = 0.0,
    workers: Workers = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Grow to the recommended mix, try the new version, and promote it if it is not worse.

    Everything else, and the surface where it is not named, is as in the pool's last trial of this
    dataset.
    """
    quiet_prefect()
    from flows.nightly import nightly as run

    params = _nights_trial(dataset, pool, quick, models, surface_of(surface, mask))
    params = params.model_copy(
        update={"margin": margin, "report": report} | runner_of(runner, cluster, gpus, workers)
    )
    _show(run(NightlyParams(trial=params)), as_json)


def _nights_trial(
    dataset: str, pool: str, quick: bool, models: str, surface: dict[str, str | None]
) -> TrialParams:
    """The settings of the pool's last trial of this dataset; the defaults where there is none."""
    from tasks.store.trials import Trials

    if (last := Trials(pool).last(dataset)) is not None:
        trial = TrialParams.model_validate_json(last["params"])
        segment = SegmentParams.model_validate(trial.segment.model_dump() | surface)
        return trial.model_copy(update={"segment": segment})
    return TrialParams.model_validate(
        {
            **(QUICK if quick else {}), "dataset": dataset, "pool": pool, "models": models,
            "segment": {**surface, "points_per_side": 8},
        }
    )  # fmt: skip


def trials(pool: PoolUri, as_json: AsJson = False) -> None:
    """The trials of a pool, and its champion."""
    from tasks.store.trials import Trials

    ledger = Trials(pool)
    rows = [
        {k: v for k, v in row.items() if k not in {"params", "result"}} for row in ledger.rows()
    ]
    if as_json:
        print_json({"champion": ledger.champion(), "trials": rows})
        return
    sys.stdout.write(f"champion: {ledger.champion() or 'none'}\n")
    for row in rows:
        sys.stdout.write(
            f"{row['created_at']}  {row['version']:<5} share {row['recommended_share']:.0%}  "
            f"{'promoted: ' if row['is_promoted'] else ''}{row['reason']}\n"
        )


def trial_factory(
    out: Annotated[str, typer.Argument(help="Folder to write the dataset to.")],
    quick: Quick = False,
    seed: Annotated[int, typer.Option(help="Another seed, other parts.")] = 11,
) -> None:
    """Render a dataset for a trial: training, test, another plant, and a kind never seen."""
    quiet_prefect()
    from flows.simulate_factory import simulate_factory
    from tasks.factory.render import UNSEEN_KIND

    ok, few, many, beyond = (120, 20, 60, 30) if quick else (1000, 20, 200, 100)
    parts: dict[str, dict[str, Any]] = {
        "train": {"ok": ok, "ko": few},
        "test": {"ok": ok, "ko": many},
        "ood/other-plant": {"ok": beyond, "ko": 0, "plant": "other"},
        f"ood/{UNSEEN_KIND}": {"ok": 0, "ko": beyond, "kinds": (UNSEEN_KIND,)},
    }
    for index, (name, counts) in enumerate(parts.items()):
        params = {"out": str(Path(out) / name), "seed": seed + index, **counts}
        say(f"{simulate_factory(FactoryParams.model_validate(params))} in {out}/{name}")


def _prompts(kinds: list[str], prompts: list[str], target: int) -> tuple[PromptSpec, ...]:
    """The prompts given, one a kind."""
    if len(kinds) != len(prompts):
        raise BadInput(f"Expected one --kind a --prompt, but got {len(kinds)} and {len(prompts)}")
    return tuple(
        PromptSpec(kind=kind, prompt=text, target=target)
        for kind, text in zip(kinds, prompts, strict=True)
    )


def _run(params: TrialParams) -> TrialResult:
    """The trial's flow on this machine."""
    quiet_prefect()
    from flows.run_trial import run_trial

    return run_trial(params)


def _show(result: TrialResult, as_json: bool) -> None:
    """What came of it, in a table."""
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    say(f"{'':<30} {'share':>6} {'recall':>7} {'E[C]':>7} {'ECE':>6} {'AUROC':>6}  against real")
    for arm in result.arms:
        recall, cost, ece, auroc = (
            arm.measures[name].value for name in ("recall", "cost", "ece", "auroc")
        )
        gain = arm.difference["recall"]
        against = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        say(
            f"{arm_name(arm.arm):<30} {arm.share:>6.0%} {recall:>7.3f} {cost:>7.3f} {ece:>6.3f} "
            f"{auroc:>6.3f}  {'' if arm.arm == 'real' else against}"
        )
    say(f"recommended share {result.recommended_share:.0%}")
    if result.promotion is not None:
        say(f"{result.version}: {result.promotion.reason}")
    say(f"report {result.report} after {result.seconds:.0f} s")
