"""Plan: each edit gets its region, its window and its id."""

from collections.abc import Sequence

import numpy as np

from tasks.domain.errors import ImageRefused
from tasks.domain.records import (
    Bead,
    Edit,
    PlannedEdit,
    Refusal,
    RunContext,
    Source,
    Stage,
    content_id,
)
from tasks.domain.region import draw_region
from tasks.domain.window import window_around
from tasks.models.model_set import open_model_set
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(version=2, run_name="plan {edits[0].kind} +{edits[0].variant}")
def plan_batch(
    edits: Sequence[Edit],
    sources: Sequence[Source],
    beads: Sequence[Bead],
    context: RunContext,
) -> list[PlannedEdit | Refusal]:
    """A planned edit for each edit; sources and beads are given edit by edit."""
    store = ContentStore(context.store_uri)
    native_px = open_model_set(context.models).native_window_px
    return [
        _planned(edit, source, bead, store, native_px, context.models_fingerprint)
        for edit, source, bead in zip(edits, sources, beads, strict=True)
    ]


def _planned(
    edit: Edit, source: Source, bead: Bead, store: ContentStore, native_px: int, fingerprint: str
) -> PlannedEdit | Refusal:
    """The edit with its region drawn from the edit's own seed."""
    bead_mask = store.get_mask(bead.mask)
    rng = np.random.default_rng((edit.seed, 0))
    side_px = min(native_px, *bead_mask.shape)
    try:
        region = draw_region(bead_mask, edit.region, rng, side_px)
    except ImageRefused as exc:
        subject = content_id(edit, fingerprint)
        return Refusal(subject=subject, stage=Stage.REGION, reason=str(exc))
    ref = store.put_mask(region)
    return PlannedEdit(
        id=content_id(source.id, ref.sha256, edit, fingerprint),
        edit=edit,
        source=source,
        bead=bead,
        region=ref,
        window_xywh=window_around(region, native_px),
    )
