"""Ingest: files of a folder become sources, or refusals with their reasons."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tasks.domain.errors import BadParameters, ImageRefused
from tasks.domain.parameters import IngestParams
from tasks.domain.records import Refusal, RunContext, Source, SourceFile, Stage
from tasks.stage import stage
from tasks.store.files import ContentStore
from tasks.store.images import decoded_pixels
from tasks.store.listing import list_images


def list_source_files(images: str) -> tuple[list[SourceFile], list[Refusal]]:
    """The files to grow from: of a divided dataset the training part alone.

    Raises:
        BadParameters: see `list_images`; or there is no training image.
    """
    files, refusals = list_images(images)
    training = [file for file in files if file.split in {"", "train"}]
    if not training and not refusals:
        raise BadParameters(f"Expected training images in {images!r}, but it only has other splits")
    return training, refusals


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
