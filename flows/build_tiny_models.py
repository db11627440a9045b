"""build_tiny_models: the renderer's images become the committed tiny model set, from nothing."""

from pathlib import Path

from prefect import flow

from tasks.build_models import (
    Recipe,
    assemble,
    assemble_inpainter,
    encode_windows,
    render_windows,
    train_autoencoder_part,
    train_decoder_part,
    train_embedder_part,
    train_inpainter_part,
    train_segmenter_part,
)
from tasks.models.model_set import Defaults

HELD_OUT_SEED = 99


@flow(name="build-tiny-models", flow_run_name="build {out}")
def build_tiny_models(work: str, out: str, recipe: Recipe, version: str = "1") -> str:
    """Render, train and assemble; killed, it goes on from its checkpoints. Hours on a CPU.

    Args:
        work: folder of checkpoints and intermediate data, some GB.
        out: folder of the model set.
        recipe: how much of everything.
        version: what the set calls itself.
    """
    place = Path(work)
    render_windows(place, "held_out", HELD_OUT_SEED, recipe.held_out)
    render_windows(place, "windows", recipe.seed, recipe.windows)
    train_autoencoder_part(place, recipe)
    train_decoder_part(place, recipe)
    encode_windows(place, recipe)
    train_inpainter_part(place, recipe)
    assemble_inpainter(place)
    train_segmenter_part(place, recipe)
    train_embedder_part(place, recipe)
    defaults = Defaults(strength=recipe.strength, guidance_scale=recipe.guidance_scale)
    return str(assemble(place, Path(out), defaults, version))
