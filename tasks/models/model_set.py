"""A model set: segmenter, inpainter and embedder with pinned versions, named or in a folder.

A set is a folder with a `model_set.json`: what each part is, where its files lie, the sha256 of
every file, and the set's own defaults. `tiny` ships with poolstar; `sd15` is read from the
folder that POOLSTAR_SD15 names (an air-gapped plant copies that folder).
"""

import hashlib
import json
import os
from functools import cached_property
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.domain.errors import ModelSetError
from tasks.domain.leakage import SIDE_PX
from tasks.domain.lineage import Lineage
from tasks.domain.records import Making
from tasks.domain.shapes import DefectShape

BUNDLED = {"tiny": Path(__file__).parent / "tiny"}
STRUCTURE = "lineage.safetensors"
PARTIAL = ".part"  # what `tasks.models.download` calls a file until its hash is right
LIBRARIES = (
    "torch", "diffusers", "transformers", "segment-anything", "open_clip_torch",
    "numpy", "scipy", "pillow",
)  # fmt: skip


class Part(BaseModel):
    """One model of a set: its format, and its file or folder below the set's root."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    path: str
    revision: str | None = Field(None, description="Pinned revision, for provenance")
    adapter: str | None = Field(
        None, description="Folder of LoRA factors and learned tokens laid over the weights"
    )

    def has_file(self, name: str) -> bool:
        """Whether a file of the set, by its path below the root, is the part's."""
        places = [self.path, *([self.adapter] if self.adapter else [])]
        return any(Path(name).is_relative_to(place) for place in places)


class Defaults(BaseModel):
    """The edit parameters a set works best with, where the user names none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: float = Field(0.35, gt=0, le=1)
    guidance_scale: float = Field(7.5, ge=1)


class ModelSet(BaseModel):
    """What `model_set.json` says; `root` is the folder it was read from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    root: Path = Field(exclude=True)
    native_window_px: int
    embedding_dim: int
    full_precision: bool = Field(False, description="Compute in float32 even where half is faster")
    trained_on_synthetic: bool = Field(False, description="Fine-tuned on generated images")
    kinds: tuple[str, ...] = Field((), description="Kinds it was trained on; empty: any")
    prompts: dict[str, str] = Field({}, description="The words it was taught each kind by")
    sound_prompt: str = Field("sound part", description="The words for a surface without defect")
    shapes: dict[str, tuple[DefectShape, ...]] = Field(
        {}, description="Shapes of real defects by kind, for the region strategy `learned`"
    )
    lineage: Lineage | None = Field(None, description="What it was adapted from and on")
    defaults: Defaults = Defaults()
    segmenter: Part
    inpainter: Part
    embedder: Part
    files: dict[str, str] = Field(description="sha256 of every file, by path below root")

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits over the description and all file hashes; equal sets give equal ones."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]

    @cached_property
    def embedder_fingerprint(self) -> str:
        """32 hex digits over the embedder alone: sets that share it measure alike."""
        files = {k: v for k, v in self.files.items() if Path(k).is_relative_to(self.embedder.path)}
        text = self.embedder.model_dump_json() + json.dumps(files, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def has_file(self, name: str) -> bool:
        """Whether a file, by its path below the root, is the set's; a broken download never is."""
        parts = (self.segmenter, self.inpainter, self.embedder)
        is_ours = name == STRUCTURE or any(part.has_file(name) for part in parts)
        return is_ours and not name.endswith(PARTIAL)

    @property
    def generation(self) -> int:
        """Generation of its images: 0, or one above the generated ones that it was trained on."""
        learned = 0 if self.lineage is None else self.lineage.generation
        return max(int(self.trained_on_synthetic), learned)

    def shapes_of(self, kind: str) -> tuple[DefectShape, ...]:
        """The shapes of a kind; those of all kinds for one without its own, as `sound` is."""
        every = tuple(shape for shapes in self.shapes.values() for shape in shapes)
        return self.shapes.get(kind, every)

    def structure(self) -> NDArray[np.float32]:
        """(n, d) fine structure of the lineage's sources, row by row; (0, d) without a lineage.

        Raises:
            ModelSetError: its file is missing or changed, or has not one row a source.
        """
        if self.lineage is None:
            return np.zeros((0, SIDE_PX**2), dtype=np.float32)
        from safetensors.numpy import load_file

        path, expected = self.root / STRUCTURE, (len(self.lineage.sources), SIDE_PX**2)
        if not path.is_file() or file_sha256(path) != self.files.get(STRUCTURE):
            raise ModelSetError(f"Expected {path} as adapt_generator wrote it, but it is not")
        rows = load_file(path)["structure"].astype(np.float32)
        if rows.shape != expected:
            raise ModelSetError(f"Expected {expected} structure in {path}, but got {rows.shape}")
        return rows

    def path_of(self, part: Part) -> Path:
        """Where a part lies on this machine."""
        return self.root / part.path

    @property
    def adapter_path(self) -> Path | None:
        """Where the inpainter's adapter lies, or None."""
        adapter = self.inpainter.adapter
        return None if adapter is None else self.root / adapter

    def provenance(self, making: Making | None) -> dict[str, object]:
        """Model ids, revisions, weight hashes, libraries, how it was painted; for every pool row.

        A candidate made elsewhere (no `making`) owes nothing to the inpainter, which is left out.
        """
        named = {"segmenter": self.segmenter, "inpainter": self.inpainter,
                 "embedder": self.embedder}  # fmt: skip
        used = {k: v for k, v in named.items() if making is not None or k != "inpainter"}
        told: dict[str, object] = {
            "set": self.name,
            "set_version": self.version,
            "fingerprint": self.fingerprint,
            "parts": {name: part.model_dump() for name, part in used.items()},
            "weights": {
                name: sha256
                for name, sha256 in self.files.items()
                if not name.endswith((".json", ".txt"))
                and any(part.has_file(name) for part in used.values())
            },
            "libraries": library_versions(),
        }
        if making is not None:
            told |= making.model_dump()
        if self.lineage is not None and making is not None:
            told["adapted_from"] = {
                "set": self.lineage.base,
                "set_version": self.lineage.base_version,
                "fingerprint": self.lineage.base_fingerprint,
            }
        return told


def library_versions() -> dict[str, str]:
    """The installed version of every library that computes pixels or scores."""
    return {name: metadata.version(name) for name in LIBRARIES}


def open_model_set(name_or_path: str) -> ModelSet:
    """The set of that name or in that folder; only its description is read.

    Raises:
        ModelSetError: no such set, or its description is damaged.
    """
    root = _root_of(name_or_path)
    description = root / "model_set.json"
    try:
        return ModelSet.model_validate({**json.loads(description.read_text()), "root": root})
    except FileNotFoundError as exc:
        raise ModelSetError(
            f"Expected a model set at {root}, but it has no model_set.json; "
            "use tiny, or a folder made for sd15 (README, 'GPU and SD 1.5')"
        ) from exc
    except (OSError, ValueError, TypeError, ValidationError) as exc:
        raise ModelSetError(f"Expected a valid {description}, but: {exc}") from exc


def _root_of(name_or_path: str) -> Path:
    """The folder of a bundled name, of `sd15`, or the path itself."""
    if name_or_path in BUNDLED:
        return BUNDLED[name_or_path]
    if name_or_path == "sd15":
        folder = os.environ.get("POOLSTAR_SD15")
        if not folder:
            raise ModelSetError(
                "Expected POOLSTAR_SD15 to name the folder with the sd15 weights, but it is not "
                "set; README, 'GPU and SD 1.5', says how to make that folder"
            )
        return Path(folder)
    if not Path(name_or_path).is_dir():
        raise ModelSetError(
            f"Expected tiny, sd15 or a folder as model set, but got {name_or_path!r}"
        )
    return Path(name_or_path)


def damaged_files(models: ModelSet) -> list[str]:
    """What is wrong with the set's files, a sentence each; empty when all hashes match."""
    problems = []
    for name, expected in sorted(models.files.items()):
        path = models.root / name
        if not path.is_file():
            problems.append(f"{name}: missing")
        elif (found := file_sha256(path)) != expected:
            problems.append(f"{name}: sha256 {found[:12]}, expected {expected[:12]}")
    return problems


def require_intact(models: ModelSet) -> None:
    """Raises ModelSetError naming every missing or changed file."""
    if problems := damaged_files(models):
        raise ModelSetError(
            f"Expected the files of model set {models.name} at {models.root} unchanged, but "
            + "; ".join(problems)
        )


def file_sha256(path: Path) -> str:
    """The sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_model_set(models: ModelSet) -> None:
    """Write `model_set.json` with the hashes of the files that are the set's now.

    Those are its parts' files and its sources' structure. What else lies there (a part of a broken
    download, another SAM, a README) changes no image, and so is no part of the set's identity.
    """
    names = [str(path.relative_to(models.root)) for path in sorted(models.root.rglob("*"))]
    files = {
        name: file_sha256(models.root / name)
        for name in names
        if models.has_file(name) and (models.root / name).is_file()
    }
    text = models.model_copy(update={"files": files}).model_dump_json(indent=1)
    (models.root / "model_set.json").write_text(text + "\n")
