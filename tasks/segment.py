"""Segment: SAM's masks of each source, the best S_mask taken as its bead; or a given surface."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.bead import best_bead, no_bead_reason
from tasks.domain.errors import BadParameters
from tasks.domain.luminance import luminance
from tasks.domain.parameters import SegmentParams
from tasks.domain.records import Bead, MaskScore, Record, Refusal, RunContext, Source, Stage
from tasks.models.loading import segmenter
from tasks.models.segmenter import Segmenter
from tasks.sources import source_view
from tasks.stage import stage
from tasks.store.files import ContentStore

MEMORY_VERSION = 1  # raise it when the segmenter answers otherwise to equal questions
WHOLE_SCORE = MaskScore(total=1, elongation=1, contrast=1, homogeneity=1, centring=1)


@stage(version=4, run_name="segment {sources[0].name} +", needs_gpu=True)
def segment_batch(
    sources: Sequence[Source], context: RunContext, params: SegmentParams
) -> list[Bead | Refusal]:
    """The bead of each source, or why there is none; an image is segmented once a store.

    Raises:
        BadParameters: the surface is a mask that the context does not hold.
    """
    store = ContentStore(context.store_uri)
    if params.surface == "mask":
        return _as_given(sources, store, context)
    return [_segmented(source, store, context, params) for source in sources]


def _as_given(
    sources: Sequence[Source], store: ContentStore, context: RunContext
) -> list[Bead | Refusal]:
    """The given surface as the bead of every source that is of its size."""
    mask = context.surface_mask
    if mask is None:
        raise BadParameters(
            "Expected the surface's mask in the run's context, but it holds none; prepare_run and "
            "prepare_trial put it there"
        )
    surface = store.get_mask(mask)
    height, width = surface.shape
    box = _box_of(surface)
    return [
        Bead(source_id=one.id, mask=mask, score=WHOLE_SCORE, box_xywh=box)
        if (one.height_px, one.width_px) == (height, width)
        else Refusal(
            subject=one.name,
            stage=Stage.SEGMENT,
            reason="another size than the surface's mask: "
            f"image {one.width_px}x{one.height_px}, mask {width}x{height}",
        )
        for one in sources
    ]


def _segmented(
    source: Source, store: ContentStore, context: RunContext, params: SegmentParams
) -> Bead | Refusal:
    """The bead of one source, recalled where its pixels have been segmented before."""
    if params.surface == "whole":
        whole = np.ones((source.height_px, source.width_px), dtype=bool)
        return _as_bead(source, whole, WHOLE_SCORE, store)
    material = [source.image.sha256, context.models_fingerprint, params.model_dump_json()]
    key = hashlib.sha256(" ".join([str(MEMORY_VERSION), *material]).encode()).hexdigest()
    known = store.recall(key)
    if known is not None:
        found = _Found.model_validate_json(known)
    else:
        found = _found(source, store, context, params)
        store.remember(key, found.model_dump_json().encode())
    if found.bead is None:
        return Refusal(subject=source.name, stage=Stage.SEGMENT, reason=found.reason)
    return found.bead.model_copy(update={"source_id": source.id})


class _Found(Record):
    """What segmentation says of an image, whatever its name."""

    bead: Bead | None
    reason: str = ""


def _found(
    source: Source, store: ContentStore, context: RunContext, params: SegmentParams
) -> _Found:
    """The segmenter's answer."""
    image = source_view(store, source)
    with segmenter(context.models, context.models_fingerprint, context.device) as sam:
        best, masks = find_bead(sam, image, params)
    if best is None:
        return _Found(bead=None, reason=no_bead_reason(luminance(image), masks, params))
    return _Found(bead=_as_bead(source, *best, store))


def find_bead(
    sam: Segmenter, image_rgb: NDArray[np.uint8], params: SegmentParams
) -> tuple[tuple[NDArray[np.bool_], MaskScore] | None, NDArray[np.bool_]]:
    """The best mask with its score, or None; and all masks (n, H, W) it was chosen from.

    Only when no mask passes are they asked for again: most images pay for one round of prompts.
    """
    grey = luminance(image_rgb)
    masks = sam.masks(image_rgb, params.points_per_side, params.max_side_px)
    best = best_bead(grey, masks, params)
    if best is None and len(masks):
        masks = np.concatenate([masks, sam.refined(image_rgb, masks)])
        best = best_bead(grey, masks, params)
    return best, masks


def _as_bead(
    source: Source, mask: NDArray[np.bool_], score: MaskScore, store: ContentStore
) -> Bead:
    """The record of a found bead."""
    ref, box = store.put_mask(mask), _box_of(mask)
    return Bead(source_id=source.id, mask=ref, score=score, box_xywh=box)


def _box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """x, y, width and height of the pixels of a mask."""
    rows, cols = np.nonzero(mask)
    return int(cols.min()), int(rows.min()), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1
