"""Ingest: files of a folder become sources, or refusals with their reasons."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tasks.domain.errors import BadParameters, ImageRefused
from tasks.domain.parameters import IngestParams
from tasks.domain.records import SOUND, Label, Refusal, RunContext, Source, SourceFile, Stage
from tasks.stage import stage
from tasks.store.files import ContentStore
from tasks.store.images import SUFFIXES, decoded_pixels


def list_source_files(folder: str) -> tuple[list[SourceFile], list[Refusal]]:
    """The image files below a folder, by name, and those refused unread.

    `ok/` and `ko/<kind>/` give the label; a folder without them is taken as sound parts.

    Raises:
        BadParameters: the folder does not exist or holds no image file.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise BadParameters(f"Expected a folder of images, but {folder!r} is not one")
    inside = root.resolve()
    files, refusals = [], []
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES):
        name = path.relative_to(root).as_posix()
        if _is_ground_truth(name):
            continue
        try:
            if not path.resolve(strict=True).is_relative_to(inside):
                raise ImageRefused("a link that leads out of the folder; copy the file in")
            if path.is_dir():
                raise ImageRefused("a folder named like an image")
            status = path.stat()
        except (OSError, ImageRefused) as exc:
            refusals.append(_refusal(name, exc))
            continue
        label, kind = _label_of(name)
        files.append(
            SourceFile(
                path=str(path),
                name=name,
                label=label,
                kind=kind,
                size_bytes=status.st_size,
                modified_ns=status.st_mtime_ns,
            )
        )
    if not files and not refusals:
        raise BadParameters(
            f"Expected images in {folder!r}, but found none ({', '.join(sorted(SUFFIXES))})"
        )
    return files, refusals


def _is_ground_truth(name: str) -> bool:
    """Masks and notes that a data set keeps beside its images are not images of parts."""
    return name.split("/", maxsplit=1)[0] in {"masks", "ground_truth"}


def _label_of(name: str) -> tuple[Label, str]:
    """OK/KO and the kind, from the first folders of a relative path."""
    parts = name.split("/")
    if parts[0].lower() == "ko":
        return "KO", parts[1] if len(parts) > 2 else "defect"
    return "OK", SOUND


def _refusal(name: str, exc: Exception) -> Refusal:
    reason = f"unreadable ({exc.strerror or exc})" if isinstance(exc, OSError) else str(exc)
    return Refusal(subject=name, stage=Stage.INGEST, reason=reason)


@stage(version=1, run_name="ingest {files[0].name} +")
def ingest_batch(
    files: Sequence[SourceFile], context: RunContext, params: IngestParams
) -> list[Source | Refusal]:
    """Each file decoded once and kept by content, or refused with its reason."""
    store = ContentStore(context.store_uri)
    return [_ingested(file, store, params) for file in files]


def _ingested(file: SourceFile, store: ContentStore, params: IngestParams) -> Source | Refusal:
    """One file as a source or a refusal."""
    try:
        data = Path(file.path).read_bytes()
        pixels = decoded_pixels(data, max_pixels=params.max_pixels, min_side_px=params.min_side_px)
    except (OSError, ImageRefused) as exc:
        return _refusal(file.name, exc)
    return Source(
        id=hashlib.sha256(data).hexdigest(),
        name=file.name,
        uri=Path(file.path).resolve().as_uri(),
        label=file.label,
        kind=file.kind,
        image=store.put(data),
        width_px=pixels.shape[1],
        height_px=pixels.shape[0],
    )
