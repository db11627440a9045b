"""Adapting a pipeline to a plant, from its windows to the files of the new one, within a time.

First the decoder on the plant's texture (the encoder stays, so that latents keep their meaning),
then the UNet with the words. How many steps fit into the time is measured once and written down: a
training that is killed goes on to the same steps, and ends in the same weights.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.domain.shapes import DefectShape
from tasks.models.adapter import VAE, save_adapter
from tasks.models.training.adaptation import (
    Adapted,
    Recipe,
    fit,
    step_loss,
    trainable,
    with_tokens,
)
from tasks.models.training.autoencoder import (
    DECODER_BATCH,
    Log,
    decoder_loss,
    psnr_db,
    train_decoder,
)
from tasks.models.training.inpainter import Latents, encoded
from tasks.models.training.plant_samples import (
    Augmentation,
    PlantWindows,
    Wording,
    plant_samples,
)

DECODER_RATE, DECODER_SQUARES = 6e-4, 20.0
PACE_STEPS, OVERHEAD = 4, 1.1
HELD_OUT_WINDOWS = 96
STILL = Augmentation(flip_rows=False, flip_columns=False, light=0.0)


@dataclass(frozen=True)
class Budget:
    """Steps where they are given, else the seconds that they may take."""

    decoder_steps: int | None
    decoder_s: float
    inpainter_steps: int | None
    inpainter_s: float


@dataclass(frozen=True)
class PlantTraining:
    """What came of it: the folder of files, the words, and the figures of learning."""

    folder: Path
    wording: Wording
    adapted: Adapted
    decoder_steps: int


def adapt_pipeline(
    pipeline: Any,
    learning: PlantWindows,
    judging: PlantWindows,
    wording: Wording,
    shapes: Sequence[DefectShape],
    *,
    work: Path,
    budget: Budget,
    recipe: Recipe,
    fair: Augmentation,
    copies: int,
    log: Log = print,
) -> PlantTraining:
    """Train a pipeline on a plant's windows and write what moved.

    Args:
        pipeline: the base, in float32 and on the device to train on; it is changed.
        learning, judging: windows of parts learned from, and of parts held out.
        wording: each kind's words; its tokens are added here.
        shapes: of real defects, for the regions of sound windows.
        work: folder of checkpoints; a killed training goes on from it.
        copies: times each window is turned and lit anew.
    """
    steps = _Steps(work / "steps.json")
    decoder_steps = _train_decoder(pipeline, learning, judging, work, budget, steps, recipe, log)
    with_tokens(pipeline, wording)
    train = _latents(pipeline, learning, wording, shapes, fair, copies, recipe.seed)
    is_sound = torch.tensor([kind not in wording.prompts for kind in learning.kinds] * copies)
    held_out = _latents(
        pipeline, thinned(judging, HELD_OUT_WINDOWS), wording, shapes, STILL, 1, recipe.seed + 1
    )
    log(f"learning from {len(is_sound)} windows, {int(is_sound.sum())} of them sound")

    model = trainable(pipeline, recipe, len(wording.tokens))

    def pace() -> float:
        return _seconds(lambda: step_loss(model, pipeline, train, is_sound, recipe, 0).backward())

    count = steps.planned("inpainter", budget.inpainter_steps, budget.inpainter_s, pace)
    adapted = fit(pipeline, model, train, is_sound, held_out, work / "inpainter.pt", recipe,
                  steps=count, log=log)  # fmt: skip
    folder = work / "learned"
    if recipe.lora_rank:
        _save_factors(pipeline, folder, wording, has_decoder=decoder_steps > 0)
    else:
        for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            part.half()
        pipeline.save_pretrained(folder)
    return PlantTraining(folder, wording, adapted, decoder_steps)


def thinned(windows: PlantWindows, at_most: int) -> PlantWindows:
    """At most so many windows, sound and defective ones in equal parts as far as there are."""
    kinds = np.array(windows.kinds)
    parts = [np.flatnonzero(kinds == kind) for kind in sorted(set(windows.kinds))]
    share = max(1, at_most // max(1, len(parts)))
    rows = np.sort(np.concatenate([part[:: max(1, len(part) // share)][:share] for part in parts]))
    return PlantWindows(
        windows.images[rows], windows.surfaces[rows], windows.defects[rows], kinds[rows].tolist()
    )


class _Steps:
    """How many steps each part trains, decided once and written down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def planned(
        self, part: str, steps: int | None, seconds: float, pace: Callable[[], float]
    ) -> int:
        """The steps given, those decided before, or those that fit into the seconds."""
        if steps is not None:
            return steps
        if part not in self._known:
            self._known[part] = max(1, int(seconds / pace()))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._known))
        return self._known[part]


def _train_decoder(
    pipeline: Any,
    learning: PlantWindows,
    judging: PlantWindows,
    work: Path,
    budget: Budget,
    steps: _Steps,
    recipe: Recipe,
    log: Log,
) -> int:
    """Train the decoder; the steps it took."""
    vae = pipeline.vae
    if not budget.decoder_steps and not budget.decoder_s:
        return 0
    held_out = thinned(judging, HELD_OUT_WINDOWS).images

    def pace() -> float:
        return _seconds(lambda: decoder_loss(vae, learning.images[:DECODER_BATCH]).backward())

    count = steps.planned("decoder", budget.decoder_steps, budget.decoder_s, pace)
    before = psnr_db(vae, held_out)
    train_decoder(vae, learning.images, held_out, work / "decoder.pt", steps=count,
                  learning_rate=DECODER_RATE, squares=DECODER_SQUARES, seed=recipe.seed,
                  log=log)  # fmt: skip
    log(f"decoder {count} steps: {before:.2f} dB before, {psnr_db(vae, held_out):.2f} dB after")
    vae.eval()
    return count


def _latents(
    pipeline: Any,
    windows: PlantWindows,
    wording: Wording,
    shapes: Sequence[DefectShape],
    fair: Augmentation,
    copies: int,
    seed: int,
) -> Latents:
    """The windows encoded, as many times as asked."""
    samples = plant_samples(windows, wording, shapes, fair, copies, seed)
    return encoded(pipeline.vae, pipeline.tokenizer, samples, batch=16)


def _seconds(step: Callable[[], object]) -> float:
    """Seconds a step takes, the first one not counted, with what looking and saving adds."""
    step()
    started = time.monotonic()
    for _ in range(PACE_STEPS):
        step()
    return OVERHEAD * (time.monotonic() - started) / PACE_STEPS


def _save_factors(pipeline: Any, folder: Path, wording: Wording, *, has_decoder: bool) -> None:
    """The adapter's files: factors, tokens, and the decoder where it was trained."""
    table = pipeline.text_encoder.get_input_embeddings().weight
    ids = {t: pipeline.tokenizer.convert_tokens_to_ids(t) for t in wording.tokens.values()}
    save_adapter(pipeline, folder, {token: table[row] for token, row in ids.items()})
    if has_decoder:
        pipeline.vae.half().save_pretrained(folder / VAE)
