"""poolstar models: the commands that look at model sets, build and check them."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import AsJson, print_json, quiet_prefect, say
from tasks.domain.errors import BadParameters, ModelSetError

app = typer.Typer(help="Look at model sets.", no_args_is_help=True)


@app.command("ls")
def models_ls(as_json: AsJson = False) -> None:
    """The model sets that ship with poolstar, and sd15 where it is installed."""
    from tasks.models.model_set import BUNDLED, open_model_set

    names = [*BUNDLED, *(["sd15"] if os.environ.get("POOLSTAR_SD15") else [])]
    sets, problems = [], {}
    for name in names:
        try:
            sets.append(open_model_set(name))
        except ModelSetError as exc:  # e.g. of a folder that is yet to be filled
            problems[name] = str(exc)
    if as_json:
        whole = {one.name: one.model_dump(mode="json") for one in sets}
        print_json(whole | {name: {"problem": what} for name, what in problems.items()})
        return
    for one in sets:
        sys.stdout.write(
            f"{one.name:<8} {one.version:<6} windows {one.native_window_px} px, strength "
            f"{one.defaults.strength}, guidance {one.defaults.guidance_scale}, {one.fingerprint}\n"
        )
    for name, what in problems.items():
        sys.stdout.write(f"{name:<8} {what}\n")


@app.command("build")
def models_build(
    out: Annotated[str, typer.Option(help="Folder of the new model set.")],
    work: Annotated[str, typer.Option(help="Folder of checkpoints; a killed build goes on.")],
    recipe: Annotated[
        str, typer.Option(help="JSON of what to change in the recipe, e.g. its steps.")
    ] = "{}",
) -> None:
    """Train a tiny model set from the renderer, as the bundled one was. Hours on a CPU."""
    quiet_prefect()
    from flows.build_tiny_models import build_tiny_models
    from tasks.build_models import Recipe

    say(f"written to {build_tiny_models(work, out, Recipe.model_validate_json(recipe))}")


@app.command("pull")
def models_pull(
    models: Annotated[str, typer.Argument(help="sd15; the only set that is fetched.")],
    to: Annotated[Path, typer.Option(help="Folder to bring it into; called again, it goes on.")],
    segmenter: Annotated[
        str, typer.Option(help="sam_vit_b (0.4 GB), sam_vit_l (1.2 GB) or sam_vit_h (2.6 GB).")
    ] = "sam_vit_b",
) -> None:
    """Fetch the real model set at pinned revisions, every file checked by its hash."""
    from tasks.models.hub import pull_sd15

    if models != "sd15":
        raise BadParameters(f"Expected sd15, but got {models!r}; tiny ships with poolstar")
    one = pull_sd15(to, segmenter, say)
    say(f"{one.name}: {len(one.files)} files in {to}, fingerprint {one.fingerprint}")
    say(f"export POOLSTAR_SD15={to.absolute()}")


@app.command("describe")
def models_describe(
    folder: Annotated[Path, typer.Argument(help="Folder with the sd15 files (README).")],
) -> None:
    """Write the model_set.json of a folder with SAM, SD 1.5 inpainting and CLIP."""
    from tasks.models.sd15 import describe_sd15

    one = describe_sd15(folder)
    say(f"{one.name}: {len(one.files)} files, fingerprint {one.fingerprint}")


@app.command("check")
def models_check(
    models: Annotated[str, typer.Argument(help="tiny, sd15, or a folder.")] = "tiny",
    as_json: AsJson = False,
) -> None:
    """Compare every file of a model set with its recorded sha256, and its weights with the models.

    Says what the set needs of a GPU.
    """
    from tasks.models.inspection import inspected
    from tasks.models.model_set import damaged_files, open_model_set

    one = open_model_set(models)
    looked = inspected(one)
    problems = damaged_files(one) + looked.problems
    if as_json:
        budget = None if looked.budget is None else looked.budget.model_dump()
        print_json(
            {"ok": not problems, "problems": problems, "fingerprint": one.fingerprint,
             "vram_bytes": budget}
        )  # fmt: skip
    else:
        say(f"{one.name}: {len(one.files)} files, {'whole' if not problems else 'NOT WHOLE'}")
        for problem in problems:
            say(f"  {problem}")
        if looked.budget is not None:
            say(f"  GPU memory, reckoned, one window at a time: {looked.budget.in_words}")
    raise typer.Exit(1 if problems else 0)
