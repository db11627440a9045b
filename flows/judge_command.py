"""poolstar judge: the command for candidates made elsewhere."""

from typing import Annotated

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
    Workers,
    print_json,
    quiet_prefect,
    runner_of,
    say,
    surface_of,
)
from tasks.domain.parameters import JudgeParams, LoopParams


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(judge)


def judge(
    candidates: Annotated[
        str,
        typer.Argument(
            help="Folder with sources/ and candidates/[<kind>/], optional masks/; or a manifest."
        ),
    ],
    pool: PoolUri,
    reference: Annotated[
        str, typer.Option(help="Real images to judge against: flat, ok/ and ko/<kind>/, manifest.")
    ],
    maker: Annotated[
        str | None, typer.Option(help="Who or what made them, where the manifest does not say.")
    ] = None,
    generation: Annotated[
        int | None,
        typer.Option(
            help="0: by a person, or by a generator that learned from real images alone. Default: "
            "unknown, and trials leave them out."
        ),
    ] = None,
    allow_generation: Annotated[
        int, typer.Option(help="Highest generation that may come in, where one is told.")
    ] = 0,
    kind: Annotated[
        str, typer.Option(help="Kind of defect, where folder or manifest do not say.")
    ] = "defect",
    models: Models = "tiny",
    surface: Surface = None,
    mask: SurfaceMask = None,
    batch_size: Annotated[int, typer.Option(help="Images a task handles.")] = 32,
    runner: Runner = None,
    cluster: Cluster = None,
    gpus: Gpus = 0.0,
    workers: Workers = None,
    store: Annotated[str | None, typer.Option(help="Folder of intermediate files.")] = None,
    report: Annotated[str | None, typer.Option(help="Where the HTML report goes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put images made elsewhere through the same scores and gates, and into the pool."""
    params = JudgeParams.model_validate(
        {
            "candidates": candidates, "images": reference, "pool": pool, "maker": maker,
            "generation": generation, "kind": kind, "models": models, "batch_size": batch_size,
            "store": store, "report": report, "segment": surface_of(surface, mask),
            "loop": LoopParams(allow_generation=allow_generation),
            **runner_of(runner, cluster, gpus, workers),
        }
    )  # fmt: skip
    quiet_prefect()
    from flows.judge_candidates import judge_candidates

    result = judge_candidates(params)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for one in result.verdicts:
        told = "accepted" if one.accepted else f"{one.stage}: {'; '.join(one.reasons)}"
        say(f"  {one.name:<40} {told}")
    say(f"{result.version}: {result.accepted} of {len(result.verdicts)} accepted, verified")
    for alarm in result.alarms:
        say(f"alarm: {alarm}")
    say(f"manifest {result.manifest}\npool     {params.pool}\nreport   {result.report}")
