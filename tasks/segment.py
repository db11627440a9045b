"""Segment: SAM's masks of each source, the best S_mask taken as its bead."""

from collections.abc import Sequence

import numpy as np

from tasks.domain.bead import best_bead, no_bead_reason
from tasks.domain.luminance import luminance
from tasks.domain.parameters import SegmentParams
from tasks.domain.records import Bead, Refusal, RunContext, Source, Stage
from tasks.models.loading import segmenter
from tasks.sources import source_view
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(version=2, run_name="segment {sources[0].name} +", tags=("gpu",))
def segment_batch(
    sources: Sequence[Source], context: RunContext, params: SegmentParams
) -> list[Bead | Refusal]:
    """The bead of each source, or why there is none."""
    store = ContentStore(context.store_uri)
    found: list[Bead | Refusal] = []
    with segmenter(context.models, context.models_fingerprint, context.device) as sam:
        for source in sources:
            image = source_view(store, source)
            masks = sam.masks(image, params.points_per_side, params.max_side_px)
            found.append(_bead_of(source, image, masks, store, params))
    return found


def _bead_of(
    source: Source,
    image: np.ndarray,
    masks: np.ndarray,
    store: ContentStore,
    params: SegmentParams,
) -> Bead | Refusal:
    """The best-scoring mask as a bead, or a refusal."""
    grey = luminance(image)
    best = best_bead(grey, masks, params)
    if best is None:
        return Refusal(
            subject=source.name,
            stage=Stage.SEGMENT,
            reason=no_bead_reason(grey, masks, params),
        )
    mask, score = best
    rows, cols = np.nonzero(mask)
    box = (int(cols.min()), int(rows.min()), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1)
    return Bead(source_id=source.id, mask=store.put_mask(mask), score=score, box_xywh=box)
