"""Copies of the tiny set that say they were adapted on given images; their weights are tiny's."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from tasks.domain.leakage import SIDE_PX, fine_structure
from tasks.domain.lineage import AdaptationSource, Lineage
from tasks.models.model_set import BUNDLED, STRUCTURE, ModelSet, open_model_set, write_model_set


def adaptation_source(path: Path) -> AdaptationSource:
    return AdaptationSource(
        id=hashlib.sha256(path.read_bytes()).hexdigest(), name=path.name,
        uri=path.resolve().as_uri(), label="OK", kind="sound",
    )  # fmt: skip


def structure_of(paths: Sequence[Path]) -> np.ndarray:
    rows = [fine_structure(np.asarray(Image.open(path).convert("RGB"))) for path in paths]
    return np.stack(rows) if rows else np.zeros((0, SIDE_PX**2), np.float32)


def lineage_of(paths: Sequence[Path], *, base_generation: int = 0) -> Lineage:
    base = open_model_set("tiny")
    return Lineage(
        base=base.name, base_version=base.version, base_fingerprint=base.fingerprint,
        base_files=base.files, sources=tuple(adaptation_source(path) for path in paths),
        parameters={}, figures={}, base_generation=base_generation,
    )  # fmt: skip


def adapted_tiny(
    folder: Path, paths: Sequence[Path], *, base_generation: int = 0, **changes
) -> ModelSet:
    """The set in that folder, with changes of its description."""
    shutil.copytree(BUNDLED["tiny"], folder)
    save_file({"structure": structure_of(paths)}, folder / STRUCTURE)
    lineage = lineage_of(paths, base_generation=base_generation)
    described = {"root": folder, "name": "adapted", "lineage": lineage} | changes
    write_model_set(open_model_set("tiny").model_copy(update=described))
    return open_model_set(str(folder))
