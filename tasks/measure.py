"""Measure: every figure of a candidate that needs only itself, its source and the real images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.edges import border_gradient
from tasks.domain.histogram import intensity_quantiles
from tasks.domain.images import display_range, display_rgb
from tasks.domain.luminance import luminance
from tasks.domain.noise import grain_sigma
from tasks.domain.plausibility import inside_share, mask_iou, visible_change
from tasks.domain.records import Candidate, Ref, RunContext
from tasks.domain.window import crop
from tasks.domain.zones import stacked, zone_features
from tasks.models.loading import embedder, segmenter
from tasks.models.segmenter import Segmenter
from tasks.sources import source_pixels
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(
    version=2,
    run_name="measure {candidates[0].plan.edit.kind} {candidates[0].plan.id:.8} +",
    needs_gpu=True,
)
def measure_batch(candidates: Sequence[Candidate], context: RunContext) -> Ref:
    """All raw figures of the candidates, as one npz with a row a candidate.

    Arrays: `id`, `source`; `embedding` and `before` (windows after and before the edit),
    `embedding_image`; zone features; `quantiles`, `border`; `bead_iou`, `inside_share`, `change`.
    """
    store = ContentStore(context.store_uri)
    views = [_views(candidate, store) for candidate in candidates]
    boxes = [candidate.plan.window_xywh for candidate in candidates]
    with embedder(context.models, context.models_fingerprint, context.device) as model:
        windows = model.embed([crop(v.after, b) for v, b in zip(views, boxes, strict=True)])
        before = model.embed([crop(v.before, b) for v, b in zip(views, boxes, strict=True)])
        images = model.embed([v.after for v in views])
    with segmenter(context.models, context.models_fingerprint, context.device) as sam:
        is_given = context.surface_mask is not None  # nor has a given surface an outline to lose
        ious = [1.0 if is_given else _bead_iou(sam, view) for view in views]
    zones = stacked(
        [
            zone_features(v.after, v.bead, v.region, box, v.before)
            for v, box in zip(views, boxes, strict=True)
        ]
    )
    greys = [(luminance(v.before), luminance(v.after)) for v in views]
    return store.put_arrays(
        zones
        | {
            "id": np.array([candidate.id for candidate in candidates]),
            "source": np.array([candidate.plan.source.id for candidate in candidates]),
            "embedding": windows,
            "before": before,
            "embedding_image": images,
            "quantiles": np.stack(
                [
                    intensity_quantiles(after, v.bead)
                    for v, (_, after) in zip(views, greys, strict=True)
                ]
            ),
            "border": np.stack(
                [border_gradient(after, v.bead) for v, (_, after) in zip(views, greys, strict=True)]
            ),
            "bead_iou": np.array(ious),
            "inside_share": np.array([inside_share(v.before, v.after, v.bead) for v in views]),
            "change": np.array(
                [
                    visible_change(b, a, v.region, grain_sigma(b, v.bead))
                    for v, (b, a) in zip(views, greys, strict=True)
                ]
            ),
        }
    )


class _Views:
    """8-bit views of one candidate: before, after (H, W, 3); bead, region (H, W)."""

    def __init__(
        self,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        bead: NDArray[np.bool_],
        region: NDArray[np.bool_],
    ) -> None:
        self.before, self.after, self.bead, self.region = before, after, bead, region


def _views(candidate: Candidate, store: ContentStore) -> _Views:
    """Source and candidate in the source's own display range."""
    pixels = source_pixels(store, candidate.plan.source)
    value_range = display_range(pixels)
    return _Views(
        before=display_rgb(pixels, value_range),
        after=display_rgb(store.get_image(candidate.image), value_range),
        bead=store.get_mask(candidate.plan.bead.mask),
        region=store.get_mask(candidate.plan.region),
    )


def _bead_iou(sam: Segmenter, view: _Views) -> float:
    """IoU of the beads found in x and in x' by the same prompts on the bead.

    1 where the whole part is inspected: there is no outline to lose.
    """
    if view.bead.all():
        return 1.0
    return mask_iou(sam.resegment(view.before, view.bead), sam.resegment(view.after, view.bead))
