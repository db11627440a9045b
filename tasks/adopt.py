"""Adopt: candidates made elsewhere, read with their sources, become candidates like our own.

Nothing is composed: a candidate is judged as it came, what it changed outside its region included.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.domain.edited_region import edited_region, given_region
from tasks.domain.errors import ImageRefused
from tasks.domain.images import Pixels, display_range, display_rgb
from tasks.domain.parameters import IngestParams
from tasks.domain.records import (
    SOUND,
    Bead,
    Candidate,
    ForeignEdit,
    ForeignPlan,
    Pair,
    PairFile,
    Refusal,
    RunContext,
    SourceFile,
    Stage,
    content_id,
)
from tasks.domain.window import window_around
from tasks.ingest import ingested, read_mask
from tasks.models.model_set import open_model_set
from tasks.sources import source_pixels
from tasks.stage import stage
from tasks.store.files import ContentStore
from tasks.store.images import decoded_pixels


@stage(version=1, run_name="read {pairs[0].name} +")
def read_pairs(
    pairs: Sequence[PairFile],
    context: RunContext,
    params: IngestParams,
    forgotten: Mapping[str, str] | None = None,
) -> list[Pair | Refusal]:
    """Each pair decoded and kept by content, or refused with the reason.

    `forgotten` gives the reason of sources that were withdrawn, by id: no byte of them is kept.
    """
    store = ContentStore(context.store_uri)
    return [_read(pair, store, params, forgotten or {}) for pair in pairs]


@stage(version=1, run_name="adopt {pairs[0].file.name} +")
def adopt_batch(
    pairs: Sequence[Pair], beads: Sequence[Bead | Refusal], context: RunContext
) -> list[Candidate | Refusal]:
    """A candidate for each pair; `beads` are those of the pairs' sources, pair by pair."""
    store = ContentStore(context.store_uri)
    native_px = open_model_set(context.models).native_window_px
    return [_adopted(pair, bead, store, native_px) for pair, bead in zip(pairs, beads, strict=True)]


def _refused(pair: PairFile, reason: str, stage: Stage = Stage.ADOPT) -> Refusal:
    return Refusal(subject=pair.name, stage=stage, reason=reason)


def _read(
    pair: PairFile, store: ContentStore, params: IngestParams, forgotten: Mapping[str, str]
) -> Pair | Refusal:
    """Source and candidate of one pair, of one size and depth, or why not."""
    size_bytes, modified_ns = pair.stamps[0]
    source = ingested(
        SourceFile(
            path=pair.source, name=Path(pair.source).name, label="OK", kind=SOUND,
            size_bytes=size_bytes, modified_ns=modified_ns,
        ),
        store,
        params,
        forgotten,
    )  # fmt: skip
    if isinstance(source, Refusal):
        return _refused(pair, f"source cannot be used: {source.reason}")
    try:
        data = Path(pair.candidate).read_bytes()
        pixels = decoded_pixels(data, max_pixels=params.max_pixels, min_side_px=params.min_side_px)
        _require_alike(pixels, source_pixels(store, source))
        height, width = pixels.shape[:2]
        mask = None if pair.mask is None else read_mask(Path(pair.mask), height, width, params)
    except OSError as exc:
        return _refused(pair, f"candidate cannot be used: unreadable ({exc.strerror or exc})")
    except ImageRefused as exc:
        return _refused(pair, f"candidate cannot be used: {exc}")
    return Pair(
        file=pair,
        source=source,
        image=store.put_image(pixels),
        file_sha256=hashlib.sha256(data).hexdigest(),
        mask=None if mask is None else store.put_mask(mask),
    )


def _require_alike(candidate: Pixels, source: Pixels) -> None:
    """Raises ImageRefused unless both have the same size, channels and depth."""
    if candidate.shape[:2] != source.shape[:2]:
        (height, width), (was_high, was_wide) = candidate.shape[:2], source.shape[:2]
        raise ImageRefused(
            f"another size than its source: {width}x{height}, source {was_wide}x{was_high}; export "
            "it uncropped, unscaled and as upright as the source"
        )
    if (candidate.dtype, candidate.ndim) != (source.dtype, source.ndim):
        raise ImageRefused(
            f"another depth than its source: {_depth(candidate)}, source {_depth(source)}; export "
            "it in the source's own"
        )


def _depth(pixels: Pixels) -> str:
    return f"{8 * pixels.dtype.itemsize}-bit {'RGB' if pixels.ndim == 3 else 'grey'}"


def _adopted(
    pair: Pair, bead: Bead | Refusal, store: ContentStore, native_px: int
) -> Candidate | Refusal:
    """One pair as a candidate, with its region."""
    if isinstance(bead, Refusal):
        return _refused(pair.file, f"no bead in its source: {bead.reason}")
    try:
        region = _region(pair, store.get_mask(bead.mask), store)
    except ImageRefused as exc:
        return _refused(pair.file, str(exc), Stage.REGION)
    mask = store.put_mask(region)
    edit = ForeignEdit(
        source_id=pair.source.id,
        kind=pair.file.kind,
        prompt=pair.file.prompt,
        maker=pair.file.maker,
        generation=pair.file.generation,
        name=pair.file.name,
        file_sha256=pair.file_sha256,
        region="derived" if pair.mask is None else "given",
    )
    told = edit.model_copy(update={"name": ""})  # the same candidate under another name is no other
    plan = ForeignPlan(
        id=content_id(pair.source.id, pair.image.sha256, mask.sha256, told),
        edit=edit,
        source=pair.source,
        bead=bead,
        region=mask,
        window_xywh=window_around(region, native_px),
    )
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Candidate(plan=plan, image=pair.image, making=None, created_at=created_at)


def _region(pair: Pair, bead: NDArray[np.bool_], store: ContentStore) -> NDArray[np.bool_]:
    """The edited region: as given, or where source and candidate differ."""
    if pair.mask is not None:
        return given_region(store.get_mask(pair.mask), bead)
    pixels = source_pixels(store, pair.source)
    value_range = display_range(pixels)
    before = display_rgb(pixels, value_range)
    return edited_region(before, display_rgb(store.get_image(pair.image), value_range), bead)
