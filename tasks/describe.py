"""Describe: what the real images look like, zone by zone; the ground every gate stands on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.edges import border_gradient
from tasks.domain.errors import ImageRefused
from tasks.domain.histogram import intensity_quantiles
from tasks.domain.luminance import luminance
from tasks.domain.planning import seed_for
from tasks.domain.records import SOUND, Bead, Ref, RegionStrategy, RunContext, Source
from tasks.domain.region import RIM_PX, draw_region
from tasks.domain.training_windows import piece_of
from tasks.domain.window import crop, window_around
from tasks.domain.zones import ZoneFeatures, stacked, zone_features
from tasks.models.loading import embedder
from tasks.models.model_set import ModelSet, open_model_set
from tasks.sources import source_view
from tasks.stage import stage
from tasks.store.files import ContentStore

ZONES = {"OK": 4, "KO": 10}


@stage(version=4, run_name="describe {sources[0].name} +", needs_gpu=True)
def describe_batch(
    sources: Sequence[Source],
    beads: Sequence[Bead],
    strategies: Sequence[RegionStrategy],
    context: RunContext,
) -> Ref:
    """Features of the real images and of zones drawn on their beads, as one npz.

    Zones are drawn with the strategies of the run's edits, 4 on an OK image and 10 on a KO one:
    on its defect where its mask is known, else anywhere (it is somewhere on the bead). Arrays:
    `zone_*` (m, ...), `image_*` (n, ...).
    """
    store = ContentStore(context.store_uri)
    models = open_model_set(context.models)
    native_px = models.native_window_px
    zones: list[ZoneFeatures] = []
    windows: list[NDArray[np.uint8]] = []
    owners: list[int] = []
    images, quantiles, borders = [], [], []
    for index, (source, bead) in enumerate(zip(sources, beads, strict=True)):
        view, bead_mask = source_view(store, source), store.get_mask(bead.mask)
        grey = luminance(view)
        images.append(view)
        quantiles.append(intensity_quantiles(grey, bead_mask))
        borders.append(border_gradient(grey, bead_mask))
        for region in _zones_of(source, bead_mask, strategies, models, store):
            box = window_around(region, native_px)
            zones.append(zone_features(view, bead_mask, region, box))
            windows.append(np.asarray(crop(view, box)))
            owners.append(index)
    with embedder(context.models, context.models_fingerprint, context.device) as model:
        window_rows, image_rows = model.embed(windows), model.embed(images)
    ids = np.array([source.id for source in sources])
    labels = np.array([source.label for source in sources])
    arrays: dict[str, NDArray[np.generic]] = {
        f"zone_{name}": array for name, array in stacked(zones).items()
    }
    arrays |= {
        "zone_embedding": window_rows,
        "zone_source": ids[owners],
        "zone_label": labels[owners],
        "image_embedding": image_rows,
        "image_source": ids,
        "image_label": labels,
        "image_quantiles": np.stack(quantiles),
        "image_border": np.stack(borders),
    }
    return store.put_arrays(arrays)


def _zones_of(
    source: Source,
    bead_mask: NDArray[np.bool_],
    strategies: Sequence[RegionStrategy],
    models: ModelSet,
    store: ContentStore,
) -> list[NDArray[np.bool_]]:
    """Zones on one image: on its defect where that is known, else on its bead by the strategies.

    Fewer where the bead has no room.
    """
    side_px = min(models.native_window_px, *bead_mask.shape)
    shapes = models.shapes_of(SOUND)
    regions = []
    for variant in range(ZONES[source.label]):
        rng = np.random.default_rng(seed_for(0, source.id, "real zone", variant))
        if source.defect is not None:
            piece = piece_of(store.get_mask(source.defect), side_px, rng)
            regions.append(ndimage.binary_dilation(piece, iterations=RIM_PX))
            continue
        try:
            strategy = strategies[variant % len(strategies)]
            regions.append(draw_region(bead_mask, strategy, rng, side_px, shapes))
        except ImageRefused:
            continue
    return regions
