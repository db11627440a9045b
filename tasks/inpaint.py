"""Inpaint: planned edits become candidates; only pixels inside the region are written."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tasks.domain.images import Pixels, display_range, display_rgb, in_source_units
from tasks.domain.parameters import InpaintParams
from tasks.domain.records import Candidate, Making, Painting, PlannedEdit, RunContext
from tasks.domain.resizing import resized, resized_mask, resized_rgb
from tasks.domain.window import crop, stitched, with_detail, with_white_balance
from tasks.models.inpainter import Inpainter, PaintJob
from tasks.models.loading import inpainter
from tasks.models.model_set import library_versions
from tasks.sources import image_pixels
from tasks.stage import stage
from tasks.store.files import ContentStore

ALGORITHM_VERSION = 8


@stage(
    version=ALGORITHM_VERSION,
    run_name="inpaint {plans[0].edit.kind} {plans[0].id:.8} +",
    needs_gpu=True,
)
def inpaint_batch(
    plans: Sequence[PlannedEdit], context: RunContext, params: InpaintParams
) -> list[Candidate]:
    """A candidate for each planned edit, in order."""
    store = ContentStore(context.store_uri)
    paintings = [_painting(plan) for plan in plans]
    with inpainter(context.models, context.models_fingerprint, context.device) as model:
        images = painted(paintings, model, store, params.feather_px)
        making = making_of(model, params.feather_px)
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Candidate(plan=plan, image=store.put_image(image), making=making, created_at=created_at)
        for plan, image in zip(plans, images, strict=True)
    ]


def painted(
    paintings: Sequence[Painting], model: Inpainter, store: ContentStore, feather_px: float
) -> Iterator[Pixels]:
    """The images after their edits, in order, each in its source's own depth.

    The model is done with when this returns; the images are composed as they are asked for.
    """
    jobs = [_job(painting, store, model.native_px) for painting in paintings]
    windows = model.paint(jobs)
    reconstructed = model.reconstructed([job.window_rgb for job in jobs])
    return (
        _composed(painting, window, again, store, feather_px)
        for painting, window, again in zip(paintings, windows, reconstructed, strict=True)
    )


def making_of(model: Inpainter, feather_px: float) -> Making:
    """How this process paints with this model."""
    return Making(
        algorithm=ALGORITHM_VERSION,
        feather_px=feather_px,
        device=model.device,
        dtype=model.dtype,
        hardware=model.hardware,
        threads=model.threads,
        device_batch=model.device_batch,
        libraries=library_versions(),
    )


def _painting(plan: PlannedEdit) -> Painting:
    """What of a plan decides its pixels."""
    edit = plan.edit
    return Painting(
        image=plan.source.image,
        region=plan.region,
        window_xywh=plan.window_xywh,
        prompt=edit.prompt,
        negative_prompt=edit.negative_prompt,
        seed=edit.seed,
        strength=edit.strength,
        guidance_scale=edit.guidance_scale,
        steps=edit.steps,
    )


def _job(painting: Painting, store: ContentStore, native_px: int) -> PaintJob:
    """The window of an edit at the model's native resolution."""
    view = display_rgb(image_pixels(store, painting.image))
    window = crop(view, painting.window_xywh)
    region = crop(store.get_mask(painting.region), painting.window_xywh)
    return PaintJob(
        window_rgb=resized_rgb(window, native_px),
        region=resized_mask(region, native_px),
        prompt=painting.prompt,
        negative_prompt=painting.negative_prompt,
        seed=painting.seed,
        strength=painting.strength,
        guidance_scale=painting.guidance_scale,
        steps=painting.steps,
    )


def _composed(
    painting: Painting,
    window: NDArray[np.float32],
    reconstructed: NDArray[np.float32],
    store: ContentStore,
    feather_px: float,
) -> Pixels:
    """x' = (1-M) x + M f(x): the painted window, with the source's detail, in its own units."""
    pixels = image_pixels(store, painting.image)
    value_range = display_range(pixels)
    region = store.get_mask(painting.region)
    box = painting.window_xywh
    window_region = crop(region, box).astype(bool)
    original = crop(display_rgb(pixels, value_range), box).astype(np.float32)
    side_px = original.shape[0]
    detailed = with_detail(resized(window, side_px), original, resized(reconstructed, side_px))
    balanced = with_white_balance(detailed, original, window_region)
    values = in_source_units(balanced, pixels, value_range)
    return stitched(pixels, values, region, box, feather_px)
