"""Ingest: files of a folder become sources, or refusals with their reasons."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


@stage(version=2, run_name="ingest {files[0].name} +")
def ingest_batch(
    files: Sequence[SourceFile],
    context: RunContext,
    params: IngestParams,
    forgotten: Mapping[str, str] | None = None,
) -> list[Source | Refusal]:
    """Each file decoded once and kept by content with its defect's mask, or refused with reason.

    `forgotten` gives the reason of sources that were withdrawn, by id: no byte of them is kept.
    """
    store = ContentStore(context.store_uri)
    return [ingested(file, store, params, forgotten or {}) for file in files]


def ingested(
    file: SourceFile, store: ContentStore, params: IngestParams, forgotten: Mapping[str, str]
) -> Source | Refusal:
    """One file as a source or a refusal."""
    try:
        data = Path(file.path).read_bytes()
        if (reason := forgotten.get(hashlib.sha256(data).hexdigest())) is not None:
            raise ImageRefused(reason)
        pixels = decoded_pixels(data, max_pixels=params.max_pixels, min_side_px=params.min_side_px)
        defect = _defect(file, pixels.shape[0], pixels.shape[1], params)
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
        defect=None if defect is None else store.put_mask(defect),
    )


def _defect(
    file: SourceFile, height_px: int, width_px: int, params: IngestParams
) -> NDArray[np.bool_] | None:
    """The mask of a defective image's defect, from its mask or its boxes; None without either.

    Raises:
        ImageRefused: the mask is of another size, empty, or no image; or no box lies in the image.
    """
    if file.label == "OK" or not (file.mask or file.boxes):
        return None
    if file.mask is not None:
        return read_mask(Path(file.mask), height_px, width_px, params)
    mask = np.zeros((height_px, width_px), dtype=bool)
    for x, y, width, height in file.boxes:
        mask[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
    if not mask.any():
        raise ImageRefused(
            f"no box {file.boxes} of its defect lies in the image of {width_px}x{height_px}; "
            "expected x y w h in its pixels"
        )
    return mask


def read_mask(path: Path, height_px: int, width_px: int, params: IngestParams) -> NDArray[np.bool_]:
    """A mask file as (H, W) bool: True above half of its highest value."""
    try:
        pixels = decoded_pixels(path.read_bytes(), max_pixels=params.max_pixels, min_side_px=1)
    except (OSError, ImageRefused) as exc:
        reason = exc.strerror or exc if isinstance(exc, OSError) else exc
        raise ImageRefused(f"its mask {path.name} cannot be used: {reason}") from exc
    values = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    if values.shape != (height_px, width_px):
        raise ImageRefused(
            f"its mask {path.name} is {values.shape[1]}x{values.shape[0]}; expected "
            f"{width_px}x{height_px}, as the image"
        )
    if not values.any():
        raise ImageRefused(
            f"its mask {path.name} is empty; expected the defect's pixels, or no mask at all"
        )
    return np.asarray(values > values.max() // 2)
