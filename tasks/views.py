"""Views: what the detectors see, cut from real images, from a pool's rows, and perturbed.

A batch of views is one npz: `view` (n, h, w, 3) uint8, `id`, `source`, `group`, `kind`, `is_ko`,
`fold`, `stage` (empty, or the gate that refused it) and `defect` (n, h, w), the defect's mask where
one is known.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.images import display_rgb
from tasks.domain.leakage import OF_POOL, SIDE_PX, TRAINED_SET, fine_structure
from tasks.domain.perturbation import SEVERITIES, perturbed
from tasks.domain.planning import seed_for
from tasks.domain.records import Ref, RunContext, Source
from tasks.domain.trial_records import NO_FOLD, Place, PoolSelection, ViewedImage
from tasks.domain.view import WHOLE, cut_view, frame_of
from tasks.models.model_set import open_model_set
from tasks.sources import source_view
from tasks.stage import stage
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.images import archived_pixels, decoded_mask, decoded_png

Arrays = dict[str, NDArray[Any]]
SHOWN = 63  # of 255: a defect thinner than a pixel of the view is still one


@stage(version=1, run_name="structure {sources[0].name} +")
def structure_batch(sources: Sequence[Source], context: RunContext) -> Ref:
    """Fine structure of each image, for the leakage guard: `structure` (n, d)."""
    store = ContentStore(context.store_uri)
    rows = [fine_structure(source_view(store, source)) for source in sources]
    return store.put_arrays({"structure": np.stack(rows)})


@stage(version=2, run_name="structure {selection.table} {selection.version}")
def structure_sources(
    selection: PoolSelection, lineages: PoolSelection, context: RunContext
) -> Ref:
    """Fine structure of the real images that fed a pool, or that a model set was trained on.

    `id`, `uri`, `name`, `role` (n,), `structure` (n, d): the pool's own sources, then those of the
    sets that painted it, then those of the trial's own set. An image may stand there twice.
    """
    known: list[tuple[str, str, str, str]] = []
    fine = [np.zeros((0, SIDE_PX**2), dtype=np.float32)]
    for row in Archive(selection.pool).sources(selection.version):
        pixels = archived_pixels(row["bytes"])
        fine.append(fine_structure(display_rgb(pixels))[None])
        known.append((row["id"], row["uri"], row["id"][:12], OF_POOL))
    trained = Archive(lineages.pool).lineages(lineages.version)
    models = open_model_set(context.models)
    if models.lineage is not None:
        trained.append((models.lineage.sources, models.structure()))
    known += [(one.id, one.uri, one.name, TRAINED_SET) for part, _ in trained for one in part]
    columns = np.array(known, dtype=np.str_).reshape(-1, 4).T
    return ContentStore(context.store_uri).put_arrays(
        {
            **dict(zip(("id", "uri", "name", "role"), columns, strict=True)),
            "structure": np.concatenate([*fine, *(part for _, part in trained)]),
        }
    )


@stage(version=2, run_name="view {images[0].source.name} +")
def view_batch(images: Sequence[ViewedImage], hw_px: tuple[int, int], context: RunContext) -> Ref:
    """Views of real images, with the masks of their defects."""
    store = ContentStore(context.store_uri)
    views = [cut_view(source_view(store, image.source), image.frame, hw_px) for image in images]
    defects = [_defect_view(store, image, hw_px) for image in images]
    return store.put_arrays(
        {
            "view": np.stack(views),
            "id": np.array([image.source.id for image in images]),
            "source": np.array([image.source.id for image in images]),
            "group": np.array([image.group for image in images]),
            "kind": np.array([image.source.kind for image in images]),
            "is_ko": np.array([image.source.label == "KO" for image in images]),
            "fold": np.array([image.fold for image in images]),
            "stage": np.array([""] * len(images)),
            "defect": np.stack(defects),
        }
    )


def _defect_view(
    store: ContentStore, image: ViewedImage, hw_px: tuple[int, int]
) -> NDArray[np.bool_]:
    """The defect's mask in the view; empty where none is known."""
    if image.source.defect is None:
        return np.zeros(hw_px, dtype=bool)
    mask = store.get_mask(image.source.defect).astype(np.uint8) * 255
    return cut_view(mask, image.frame, hw_px) > SHOWN


@stage(version=2, run_name="view {selection.table} {selection.version} +{ids[0]:.8}")
def view_pool_batch(
    selection: PoolSelection,
    ids: Sequence[str],
    places: Mapping[str, Place],
    hw_px: tuple[int, int],
    context: RunContext,
) -> Ref:
    """Views of a pool's synthetic images; each has the fold of the real image it was made from."""
    store = ContentStore(context.store_uri)
    rows = Archive(selection.pool).images(selection.table, selection.version, ids)
    views, defects = [], []
    for row in rows:
        pixels, bead = decoded_png(row["image"]), decoded_mask(row["bead_mask"])
        frame = WHOLE if bead.all() else frame_of(bead)
        views.append(cut_view(display_rgb(pixels), frame, hw_px))
        region = decoded_mask(row["mask"]).astype(np.uint8) * 255
        defects.append(cut_view(region, frame, hw_px) > SHOWN)
    sources = [row["source_id"] for row in rows]
    found = [places.get(one, Place(group=one, fold=NO_FOLD)) for one in sources]
    return store.put_arrays(
        {
            "view": np.stack(views),
            "id": np.array([row["id"] for row in rows]),
            "source": np.array(sources),
            "group": np.array([where.group for where in found]),
            "kind": np.array([row["kind"] for row in rows]),
            "is_ko": np.array([not row["is_placebo"] for row in rows]),
            "fold": np.array([where.fold for where in found]),
            "stage": np.array([row.get("stage") or "" for row in rows]),
            "defect": np.stack(defects),
        }
    )


@stage(version=1, run_name="perturb {name} {severity} {views.sha256:.8}")
def perturb_batch(views: Ref, name: str, severity: int, context: RunContext) -> Ref:
    """The same views under one perturbation, `severity` 0-2 of `SEVERITIES`."""
    store = ContentStore(context.store_uri)
    arrays = store.get_arrays(views)
    amount = SEVERITIES[name][severity]
    changed = [
        perturbed(view, name, amount, np.random.default_rng(seed_for(severity, str(i), name, 0)))
        for view, i in zip(arrays["view"], arrays["id"], strict=True)
    ]
    return store.put_arrays({**arrays, "view": np.stack(changed)})


@stage(version=1, run_name="subset {views[0].sha256:.8} +")
def subset_views(
    views: Sequence[Ref], max_ok: int, max_ko: int, seed: int, context: RunContext
) -> Ref:
    """At most so many OK and KO views of a set, chosen by the seed."""
    store = ContentStore(context.store_uri)
    arrays = stacked_views(store, views)
    rng = np.random.default_rng((seed, 5))
    rows = np.sort(
        np.concatenate(
            [
                rng.permutation(np.flatnonzero(arrays["is_ko"] == is_ko))[:limit]
                for is_ko, limit in ((False, max_ok), (True, max_ko))
            ]
        )
    )
    return store.put_arrays({name: array[rows] for name, array in arrays.items()})


def stacked_views(store: ContentStore, refs: Sequence[Ref], *, pixels: bool = True) -> Arrays:
    """The arrays of all batches, row under row; without `view` and `defect` unless asked for."""
    parts = [store.get_arrays(ref) for ref in refs]
    names = [name for name in parts[0] if pixels or name not in {"view", "defect"}]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
