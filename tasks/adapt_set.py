"""Assemble an adapted model set: a folder that stands alone, with its lineage, or its base."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prefect import task
from safetensors.numpy import save_file

from tasks.adapt_plant import Plant
from tasks.adapt_train import Learned
from tasks.adapt_windows import KindShape
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.adaptation_verdict import AdaptationFigures, AdaptationVerdict
from tasks.domain.leakage import SIDE_PX, fine_structure
from tasks.domain.lineage import AdaptationSource, Lineage
from tasks.domain.records import RunContext
from tasks.domain.shapes import DefectShape
from tasks.models.model_set import (
    STRUCTURE,
    ModelSet,
    Part,
    open_model_set,
    write_model_set,
)
from tasks.sources import source_view
from tasks.store.files import ContentStore

ADAPTER = "adapter"
NOT_IN_LINEAGE = {
    "out", "store", "report", "workers", "runner", "device", "images", "pools",
}  # fmt: skip


def candidate_folder(params: AdaptParams, learned: Learned) -> Path:
    """Where the adapted set stands while it is judged: beside the folder it may become."""
    return Path(f"{params.out.rstrip('/')}.candidates") / learned.digest()[:16]


@task(task_run_name="assemble {folder}")
def assemble_adapted(
    folder: Path,
    learned: Learned,
    shapes: Sequence[KindShape],
    plant: Plant,
    context: RunContext,
    params: AdaptParams,
) -> RunContext:
    """Write the adapted set to a folder; the context of a run with it."""
    base = open_model_set(context.models)
    store = ContentStore(context.store_uri)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    inpainter = _write_inpainter(folder, learned, base, store)
    for part in (base.segmenter, base.embedder):
        _copy(base.path_of(part), folder / part.path)
    _write_structure(folder, plant, base, store)
    write_model_set(
        base.model_copy(
            update={
                "name": Path(params.out).name, "version": "1", "root": folder,
                "kinds": tuple(learned.prompts) or base.kinds,
                "prompts": learned.prompts or base.prompts,
                "sound_prompt": params.sound_prompt or base.sound_prompt,
                "shapes": _by_kind(shapes) or base.shapes,
                "inpainter": inpainter,
                "lineage": _lineage(learned, plant, base, params),
            }
        )
    )  # fmt: skip
    fingerprint = open_model_set(str(folder)).fingerprint
    return context.model_copy(update={"models": str(folder), "models_fingerprint": fingerprint})


def settle(
    out: Path,
    adapted: Path,
    base: ModelSet,
    figures: AdaptationFigures,
    verdict: AdaptationVerdict,
) -> ModelSet:
    """The folder that `adapt` leaves: the adapted set if it is better, else its base as it is.

    It appears whole or not at all. `ADAPTATION.json` says which of the two it is, and why.
    """
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if verdict.is_better:
        shutil.copytree(adapted, partial)
        models = open_model_set(str(adapted)).model_copy(update={"root": partial})
        told = {**_told(models).figures, "judged": figures.model_dump(mode="json")}
        lineage = _told(models).model_copy(update={"figures": told})
        write_model_set(models.model_copy(update={"lineage": lineage}))
    else:
        shutil.copytree(base.root, partial, copy_function=_linked)
    said = {"adapted": verdict.is_better, **verdict.model_dump(mode="json")}
    (partial / "ADAPTATION.json").write_text(json.dumps(said, indent=1) + "\n")
    os.replace(partial, out)
    return open_model_set(str(out))


def _told(models: ModelSet) -> Lineage:
    """The lineage of an adapted set, which always has one."""
    if models.lineage is None:
        raise ValueError(f"Expected a lineage in {models.root}")
    return models.lineage


def _write_inpainter(folder: Path, learned: Learned, base: ModelSet, store: ContentStore) -> Part:
    """The inpainter's files: the learned ones in place of the base's, or laid over them."""
    part = base.inpainter
    place = ADAPTER if learned.is_adapter else "inpainter"
    for name, ref in learned.files.items():
        path = folder / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(ref))
    if learned.is_adapter:
        _copy(base.path_of(part), folder / part.path)
        return part.model_copy(update={"adapter": ADAPTER})
    return Part(format="diffusers", path=place)


def _copy(source: Path, target: Path) -> None:
    """A file or folder of the base, linked where the disk allows it: large weights lie once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_linked, dirs_exist_ok=True)
    else:
        _linked(str(source), str(target))


def _linked(source: str, target: str) -> None:
    """A file linked; a description copied, or who rewrites it would rewrite the base's."""
    if target.endswith(".json"):
        shutil.copy2(source, target)
        return
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def _write_structure(folder: Path, plant: Plant, base: ModelSet, store: ContentStore) -> None:
    """The fine structure of all sources of the lineage, the base's first."""
    rows = [fine_structure(source_view(store, one)) for one in plant.sources]
    own = np.stack(rows) if rows else np.zeros((0, SIDE_PX**2), dtype=np.float32)
    save_file({"structure": np.concatenate([base.structure(), own])}, folder / STRUCTURE)


def _lineage(learned: Learned, plant: Plant, base: ModelSet, params: AdaptParams) -> Lineage:
    """What the set was adapted from and on: the held-out images too, they chose its weights."""
    before = () if base.lineage is None else base.lineage.sources
    return Lineage(
        base=base.name,
        base_version=base.version,
        base_fingerprint=base.fingerprint,
        base_files=base.files,
        sources=before
        + tuple(
            AdaptationSource(
                id=s.id,
                name=s.name,
                uri=s.uri,
                label=s.label,
                kind=s.kind,
                generation=plant.synthetic.get(s.id),
            )
            for s in plant.sources
        ),
        parameters=params.model_dump(mode="json", exclude=NOT_IN_LINEAGE),
        figures={"learning": learned.figures, "losses": learned.losses},
        base_generation=base.generation,
    )


def _by_kind(shapes: Sequence[KindShape]) -> dict[str, tuple[DefectShape, ...]]:
    return {
        kind: tuple(one.shape for one in shapes if one.kind == kind)
        for kind in sorted({one.kind for one in shapes})
    }
