"""Segment: SAM's masks of each source, the best S_mask taken as its bead."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.bead import best_bead, no_bead_reason
from tasks.domain.luminance import luminance
from tasks.domain.parameters import SegmentParams
from tasks.domain.records import Bead, MaskScore, Refusal, RunContext, Source, Stage
from tasks.models.loading import segmenter
from tasks.models.segmenter import Segmenter
from tasks.sources import source_view
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(version=3, run_name="segment {sources[0].name} +", tags=("gpu",))
def segment_batch(
    sources: Sequence[Source], context: RunContext, params: SegmentParams
) -> list[Bead | Refusal]:
    """The bead of each source, or why there is none."""
    store = ContentStore(context.store_uri)
    found: list[Bead | Refusal] = []
    with segmenter(context.models, context.models_fingerprint, context.device) as sam:
        for source in sources:
            image = source_view(store, source)
            best, masks = find_bead(sam, image, params)
            if best is None:
                reason = no_bead_reason(luminance(image), masks, params)
                found.append(Refusal(subject=source.name, stage=Stage.SEGMENT, reason=reason))
            else:
                found.append(_as_bead(source, *best, store))
    return found


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
    rows, cols = np.nonzero(mask)
    box = (int(cols.min()), int(rows.min()), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1)
    return Bead(source_id=source.id, mask=store.put_mask(mask), score=score, box_xywh=box)
