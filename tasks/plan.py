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
from tasks.models.model_set import ModelSet, open_model_set
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(version=3, run_name="plan {edits[0].kind} +{edits[0].variant}")
def plan_batch(
    edits: Sequence[Edit],
    sources: Sequence[Source],
    beads: Sequence[Bead],
    context: RunContext,
) -> list[PlannedEdit | Refusal]:
    """A planned edit for each edit; sources and beads are given edit by edit."""
    store = ContentStore(context.store_uri)
    models = open_model_set(context.models)
    return [
        _planned(edit, source, bead, store, models)
        for edit, source, bead in zip(edits, sources, beads, strict=True)
    ]


def _planned(
    edit: Edit, source: Source, bead: Bead, store: ContentStore, models: ModelSet
) -> PlannedEdit | Refusal:
    """The edit with its region drawn from the edit's own seed."""
    bead_mask = store.get_mask(bead.mask)
    rng = np.random.default_rng((edit.seed, 0))
    side_px = min(models.native_window_px, *bead_mask.shape)
    try:
        shapes = models.shapes_of(edit.kind)
        region = draw_region(bead_mask, edit.region, rng, side_px, shapes)
    except ImageRefused as exc:
        subject = content_id(edit, models.fingerprint)
        return Refusal(subject=subject, stage=Stage.REGION, reason=str(exc))
    ref = store.put_mask(region)
    return PlannedEdit(
        id=content_id(source.id, ref.sha256, edit, models.fingerprint),
        edit=edit,
        source=source,
        bead=bead,
        region=ref,
        window_xywh=window_around(region, models.native_window_px),
    )
