"""A small adaptation of the tiny set to the demo plant: its windows, words, shapes, and the run."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from tasks.domain.records import SOUND
from tasks.domain.shapes import DefectShape
from tasks.factory.styles import DEMO_PLANT
from tasks.factory.windows import window_samples
from tasks.models.inpainter import load_pipeline
from tasks.models.model_set import BUNDLED
from tasks.models.training.adaptation import Recipe
from tasks.models.training.plant import Budget, PlantTraining, adapt_pipeline
from tasks.models.training.plant_samples import (
    Augmentation,
    PlantWindows,
    Wording,
)

BASE = BUNDLED["tiny"] / "inpainter"
WORDS = {"crack": "fine crack in the weld bead", "porosity": "cluster of pores in the weld bead"}
SOUND_WORDS = "sound weld bead with regular ripples"
SHAPES = [
    DefectShape(length_px=24, width_px=3, angle_deg=20, stray=0.05, parts=1),
    DefectShape(length_px=8, width_px=7, angle_deg=0, stray=0.0, parts=3),
]
STILL = Augmentation(flip_rows=False, flip_columns=False, light=0.0)


def windows_of(seed: int, count: int) -> PlantWindows:
    """Windows of the demo plant, sound ones first, half of them cracks and pores."""
    made = list(window_samples(seed, 8 * count, style=DEMO_PLANT))
    found = [one for one in made if one.kind == SOUND][: count // 2]
    found += [one for one in made if one.kind in WORDS][: count - len(found)]
    return PlantWindows(
        images=np.stack([one.image_rgb for one in found]),
        surfaces=np.stack([one.bead_mask for one in found]),
        defects=np.stack([one.defect_mask for one in found]),
        kinds=[one.kind for one in found],
    )


LEARNING, JUDGING = windows_of(5, 16), windows_of(6, 6)


def base():
    return load_pipeline(BASE, torch.float32)


def adapt(work: Path, recipe: Recipe, budget: Budget, pipeline=None, log=print) -> PlantTraining:
    return adapt_pipeline(
        pipeline or base(), LEARNING, JUDGING, Wording(dict(WORDS), SOUND_WORDS), SHAPES,
        work=work, budget=budget, recipe=recipe, fair=Augmentation(), copies=1, log=log,
    )  # fmt: skip


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
