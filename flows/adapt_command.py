"""poolstar adapt: the command that adapts a model set to a plant."""

from typing import Annotated

import typer

from flows.terminal import (
    AsJson,
    Surface,
    SurfaceMask,
    print_json,
    quiet_prefect,
    say,
    surface_of,
)
from tasks.domain.adapt_parameters import AdaptParams, FairParams, KindWords, LearningParams
from tasks.domain.errors import BadInput


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(adapt)


def adapt(
    images: Annotated[
        str, typer.Argument(help="Real images: flat, ok/ and ko/<kind>/, or a manifest.")
    ],
    out: Annotated[str, typer.Option(help="Folder of the new model set.")],
    base: Annotated[str, typer.Option(help="tiny, sd15, or a model set's folder.")] = "tiny",
    kind: Annotated[list[str], typer.Option(help="Kinds to learn; default: all.")] = [],  # noqa: B006
    prompt: Annotated[list[str], typer.Option(help="Words for each --kind, in order.")] = [],  # noqa: B006
    sound_prompt: Annotated[str | None, typer.Option(help="Words for a sound surface.")] = None,
    minutes: Annotated[float, typer.Option(help="Time for learning and judging.")] = 20.0,
    steps: Annotated[int | None, typer.Option(help="Steps, instead of a time.")] = None,
    decoder_steps: Annotated[int | None, typer.Option(help="Steps of the decoder.")] = None,
    turns: Annotated[bool, typer.Option("--turns", help="Quarter turns are fair here.")] = False,
    pool: Annotated[
        list[str], typer.Option(help="A pool whose own images are recognised and left out.")
    ] = [],  # noqa: B006
    allow_synthetic: Annotated[
        bool, typer.Option("--allow-synthetic", help="Learn from them: a later generation.")
    ] = False,
    surface: Surface = "bead",
    mask: SurfaceMask = None,
    seed: Annotated[int, typer.Option(help="Run seed.")] = 0,
    store: Annotated[str | None, typer.Option(help="Folder of intermediate files.")] = None,
    report: Annotated[str | None, typer.Option(help="Where the HTML report goes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Adapt a model set to a plant's real images; the base stays where that is not better."""
    if prompt and len(prompt) != len(kind):
        raise BadInput(f"Expected one --prompt a --kind, but got {len(prompt)} and {len(kind)}")
    words: list[str | None] = list(prompt) or [None] * len(kind)
    params = AdaptParams.model_validate(
        {
            "images": images, "out": out, "base": base, "minutes": minutes, "run_seed": seed,
            "kinds": [KindWords(kind=k, prompt=p) for k, p in zip(kind, words, strict=True)],
            "pools": pool, "allow_synthetic": allow_synthetic,
            "sound_prompt": sound_prompt, "store": store, "report": report,
            "learning": LearningParams(steps=steps, decoder_steps=decoder_steps),
            "fair": FairParams(quarter_turns=turns),
            "segment": {**surface_of(surface, mask), "points_per_side": 8},
        }
    )  # fmt: skip
    quiet_prefect()
    from flows.adapt_generator import adapt_generator

    result = adapt_generator(params)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    say("adapted: it replaces its base" if result.is_adapted else "not better: the base stays")
    for reason in result.reasons:
        say(f"  {reason}")
    if result.refused:
        say(f"  {result.refused} images left out, the report says why")
    say(f"model set {result.out} {result.fingerprint}\nreport    {result.report}")
    say(f"{result.seconds / 60:.1f} minutes; next: poolstar grow IMAGES --models {result.out} ...")
