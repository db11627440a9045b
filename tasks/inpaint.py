"""Inpaint: planned edits become candidates; only pixels inside the region are written."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tasks.domain.images import Pixels, display_range, display_rgb, in_source_units
from tasks.domain.parameters import InpaintParams
from tasks.domain.records import Candidate, PlannedEdit, RunContext
from tasks.domain.resizing import resized, resized_mask, resized_rgb
from tasks.domain.window import crop, stitched, with_detail, with_white_balance
from tasks.models.inpainter import PaintJob, effective_steps
from tasks.models.loading import inpainter
from tasks.sources import source_pixels
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(version=6, run_name="inpaint {plans[0].edit.kind} {plans[0].id:.8} +", tags=("gpu",))
def inpaint_batch(
    plans: Sequence[PlannedEdit], context: RunContext, params: InpaintParams
) -> list[Candidate]:
    """A candidate for each planned edit, in order."""
    store = ContentStore(context.store_uri)
    with inpainter(context.models, context.models_fingerprint, context.device) as model:
        jobs = [_job(plan, store, model.native_px) for plan in plans]
        painted = model.paint(jobs)
        reconstructed = model.reconstructed([job.window_rgb for job in jobs])
        device, dtype = model.device, model.dtype
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Candidate(
            plan=plan,
            image=store.put_image(_composed(plan, window, again, store, params)),
            effective_steps=effective_steps(plan.edit.steps, plan.edit.strength),
            device=device,
            dtype=dtype,
            created_at=created_at,
        )
        for plan, window, again in zip(plans, painted, reconstructed, strict=True)
    ]


def _job(plan: PlannedEdit, store: ContentStore, native_px: int) -> PaintJob:
    """The window of a planned edit at the model's native resolution."""
    pixels = source_pixels(store, plan.source)
    view = display_rgb(pixels)
    window = crop(view, plan.window_xywh)
    region = crop(store.get_mask(plan.region), plan.window_xywh)
    return PaintJob(
        window_rgb=resized_rgb(window, native_px),
        region=resized_mask(region, native_px),
        prompt=plan.edit.prompt,
        negative_prompt=plan.edit.negative_prompt,
        seed=plan.edit.seed,
        strength=plan.edit.strength,
        guidance_scale=plan.edit.guidance_scale,
        steps=plan.edit.steps,
    )


def _composed(
    plan: PlannedEdit,
    painted: NDArray[np.float32],
    reconstructed: NDArray[np.float32],
    store: ContentStore,
    params: InpaintParams,
) -> Pixels:
    """x' = (1-M) x + M f(x): the painted window, with the source's detail, in its own units."""
    pixels = source_pixels(store, plan.source)
    value_range = display_range(pixels)
    region = store.get_mask(plan.region)
    window_region = crop(region, plan.window_xywh).astype(bool)
    original = crop(display_rgb(pixels, value_range), plan.window_xywh).astype(np.float32)
    side_px = original.shape[0]
    detailed = with_detail(resized(painted, side_px), original, resized(reconstructed, side_px))
    balanced = with_white_balance(detailed, original, window_region)
    values = in_source_units(balanced, pixels, value_range)
    return stitched(pixels, values, region, plan.window_xywh, params.feather_px)
