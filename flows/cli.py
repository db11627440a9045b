"""poolstar: the command line, thin over the flows.

What a person reads goes to stderr; `--json` prints one JSON object on stdout. Exit status: 0 as
asked, 1 a failed run, 2 bad use.
"""

from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from flows import (
    adapt_command,
    deploy_command,
    export_command,
    judge_command,
    models_commands,
    pool_commands,
    reproduce_command,
    trial_commands,
    up_command,
)
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
    said_plainly,
    say,
    surface_of,
)
from tasks.domain.errors import BadInput
from tasks.domain.parameters import (
    EnergyParams,
    FactoryParams,
    GrowParams,
    InpaintParams,
    LoopParams,
    PromptSpec,
    SegmentParams,
)

app = typer.Typer(
    help="Grow POOL★: synthetic weld defects that earn their place.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
reproduce_command.register(pool_commands.app)
app.add_typer(pool_commands.app, name="pool")
app.add_typer(models_commands.app, name="models")
adapt_command.register(app)
deploy_command.register(app)
export_command.register(app)
judge_command.register(app)
trial_commands.register(app)
up_command.register(app)


def main() -> None:
    """Run the command; every error ends in one line that says what to do."""
    with said_plainly():
        app()


@app.command()
def demo(
    out: Annotated[str, typer.Option(help="Folder for images, pool and report.")] = "demo",
    target: Annotated[int, typer.Option(help="Accepted images wanted a kind.")] = 14,
    as_json: AsJson = False,
) -> None:
    """The whole way on the embedded plant: render 104 welds, grow a pool, verify it, report."""
    from tasks.factory.render import TRAINED_KINDS

    images = Path(out) / "images"
    if not images.exists():
        _factory(FactoryParams(out=str(images)))
    prompts = tuple(PromptSpec(kind=kind, target=target) for kind in TRAINED_KINDS)
    pool = str(Path(out) / "pool")
    _grow(GrowParams(images=str(images), pool=pool, prompts=prompts), as_json)


@app.command()
def factory(
    out: Annotated[str, typer.Argument(help="Folder to write the images to.")],
    ok: Annotated[int, typer.Option(help="Sound parts.")] = 80,
    ko: Annotated[int, typer.Option(help="Defective parts, spread over the kinds.")] = 24,
    seed: Annotated[int, typer.Option(help="Another seed, other parts.")] = 0,
    plant: Annotated[str, typer.Option(help="demo or other.")] = "demo",
    as_json: AsJson = False,
) -> None:
    """Render weld images with exact defect masks, as a plant's camera would take them."""
    params = {"out": out, "ok": ok, "ko": ko, "seed": seed, "plant": plant}
    written = _factory(FactoryParams.model_validate(params))
    print_json({"images": written, "folder": out}) if as_json else say(f"{written} in {out}")


def _factory(params: FactoryParams) -> int:
    quiet_prefect()
    from flows.simulate_factory import simulate_factory

    return simulate_factory(params)


@app.command()
def grow(
    images: Annotated[str, typer.Argument(help="Folder: flat (all sound), or ok/ and ko/<kind>/.")],
    pool: PoolUri,
    kind: Annotated[list[str], typer.Option(help="A kind of defect to grow; repeat for more.")],
    prompt: Annotated[
        list[str],
        typer.Option(help="What to paint, one a kind, in order; default: the model set's words."),
    ] = [],  # noqa: B006
    models: Models = "tiny",
    target: Annotated[int, typer.Option(help="Accepted images wanted a prompt.")] = 20,
    strength: Annotated[float | None, typer.Option(help="0-1; default: the model set's.")] = None,
    surface: Surface = None,
    mask: SurfaceMask = None,
    seed: Annotated[int, typer.Option(help="Run seed.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images a task handles.")] = 32,
    rounds: Annotated[int, typer.Option(help="Rounds of reject-and-try-again.")] = 3,
    allow_generation: Annotated[
        int, typer.Option(help="Above 0: a set that learned from generated images may grow.")
    ] = 0,
    watts: Annotated[float, typer.Option(help="Mean power, where it cannot be measured.")] = 70.0,
    runner: Runner = None,
    cluster: Cluster = None,
    gpus: Gpus = 0.0,
    workers: Workers = None,
    store: Annotated[str | None, typer.Option(help="Folder of intermediate files.")] = None,
    report: Annotated[str | None, typer.Option(help="Where the HTML report goes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Grow a new version of a pool from your own images and prompts."""
    if prompt and len(prompt) != len(kind):
        raise BadInput(
            f"Expected one --kind a --prompt, or no --prompt at all, but got {len(kind)} and "
            f"{len(prompt)}"
        )
    _require_kinds(kind, models)
    specs = tuple(
        PromptSpec(kind=one, prompt=text, target=target) for one, text in zip_longest(kind, prompt)
    )
    params = GrowParams(
        images=images,
        pool=pool,
        prompts=specs,
        models=models,
        run_seed=seed,
        batch_size=batch_size,
        max_rounds=rounds,
        store=store,
        report=report,
        segment=SegmentParams.model_validate(surface_of(surface, mask)),
        inpaint=InpaintParams(strength=strength),
        loop=LoopParams(allow_generation=allow_generation),
        energy=EnergyParams(watts=watts),
        **runner_of(runner, cluster, gpus, workers),
    )
    _grow(params, as_json)


def _require_kinds(kinds: list[str], models: str) -> None:
    """A set that knows only some kinds says so at once."""
    from tasks.models.model_set import open_model_set

    known = open_model_set(models).kinds
    if known and (unknown := sorted(set(kinds) - set(known))):
        raise BadInput(
            f"Expected kinds that {models} was trained on ({', '.join(known)}), but got "
            f"{', '.join(unknown)}; use sd15, or a set adapted to your plant, for others"
        )


def _grow(params: GrowParams, as_json: bool) -> None:
    """Run the flow and say what came of it."""
    quiet_prefect()
    from flows.grow_pool import grow_pool

    result = grow_pool(params)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for row in result.funnel.rows:
        say(f"  {row.stage:<12} {row.count:>5}  {row.reason}")
    for name, count in result.funnel.accepted.items():
        say(f"  {'accepted':<12} {count:>5}  {name}")
    say(f"{result.version}: {result.accepted} accepted in {result.seconds:.0f} s, verified")
    say(f"manifest {result.manifest}\npool     {params.pool}\nreport   {result.report}")


if __name__ == "__main__":
    main()
