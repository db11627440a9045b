"""Cut windows: what an adaptation learns from and is judged by, cut from a plant's real images.

A batch of windows is one npz: `image` (n, s, s, 3) uint8, `surface` and `defect` (n, s, s), `kind`,
`source` (n,), and `embedding` (n, d) of each window as an edit's would be embedded.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.adapt_parameters import LearningParams
from tasks.domain.difference import SoundWindows, weak_region, window_grid
from tasks.domain.planning import seed_for
from tasks.domain.records import Bead, Record, Ref, Refusal, RunContext, Source, Stage
from tasks.domain.region import local_axis
from tasks.domain.shapes import DefectShape, measured_shapes
from tasks.domain.training_windows import Window, defect_windows, sound_windows
from tasks.domain.window import crop
from tasks.judge import concatenated
from tasks.models.loading import embedder
from tasks.models.model_set import open_model_set
from tasks.sources import source_view
from tasks.stage import stage
from tasks.store.files import ContentStore


class KindShape(Record):
    """The shape of one component of a real defect, with its kind."""

    kind: str
    shape: DefectShape


@stage(version=1, run_name="windows {sources[0].name} +", needs_gpu=True)
def cut_windows_batch(
    sources: Sequence[Source], beads: Sequence[Bead], context: RunContext, params: LearningParams
) -> Ref:
    """Windows of real images: anywhere on sound ones, around the defects of others."""
    store = ContentStore(context.store_uri)
    native_px = open_model_set(context.models).native_window_px
    cut: list[tuple[Source, Window, NDArray[np.uint8]]] = []
    for source, bead in zip(sources, beads, strict=True):
        view = source_view(store, source)
        for window in _windows(source, view, store.get_mask(bead.mask), store, native_px, params):
            cut.append((source, window, np.asarray(crop(view, window.box_xywh))))
    with embedder(context.models, context.models_fingerprint, context.device) as model:
        rows = model.embed([seen for _, _, seen in cut])
    side = (0, native_px, native_px)
    return store.put_arrays(
        {
            "image": _stacked([w.image for _, w, _ in cut], np.zeros((*side, 3), np.uint8)),
            "surface": _stacked([w.surface for _, w, _ in cut], np.zeros(side, bool)),
            "defect": _stacked([w.defect for _, w, _ in cut], np.zeros(side, bool)),
            "kind": np.array([one.kind for one, _, _ in cut], dtype=np.str_),
            "source": np.array([one.id for one, _, _ in cut], dtype=np.str_),
            "embedding": rows,
        }
    )


def _stacked(arrays: list[NDArray[np.generic]], empty: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.stack(arrays) if arrays else empty


def _windows(
    source: Source,
    view: NDArray[np.uint8],
    surface: NDArray[np.bool_],
    store: ContentStore,
    native_px: int,
    params: LearningParams,
) -> list[Window]:
    """The windows of one image."""
    rng = np.random.default_rng(seed_for(0, source.id, "training windows", 0))
    if source.label == "OK":
        return sound_windows(view, surface, native_px, params.ok_windows, rng)
    if source.defect is None:
        return []
    defect = store.get_mask(source.defect)
    return defect_windows(view, surface, defect, native_px, params.ko_windows, rng)


@stage(version=1, run_name="shapes {sources[0].name} +")
def measure_shapes_batch(
    sources: Sequence[Source], beads: Sequence[Bead], context: RunContext
) -> list[KindShape]:
    """The shapes of the defects that are known."""
    store = ContentStore(context.store_uri)
    side_px = open_model_set(context.models).native_window_px
    found = []
    for source, bead in zip(sources, beads, strict=True):
        if source.defect is None:
            continue
        defect, surface = store.get_mask(source.defect), store.get_mask(bead.mask)
        rows, cols = np.nonzero(defect)
        axis = local_axis(surface, (float(rows.mean()), float(cols.mean())), side_px)
        found += [KindShape(kind=source.kind, shape=s) for s in measured_shapes(defect, axis)]
    return found


@stage(version=1, run_name="grid {sources[0].name} +", needs_gpu=True)
def embed_grid_batch(sources: Sequence[Source], beads: Sequence[Bead], context: RunContext) -> Ref:
    """Embeddings of all windows of a grid over each image: `embedding`, `source`, `box`."""
    store = ContentStore(context.store_uri)
    native_px = open_model_set(context.models).native_window_px
    windows, owners, places = [], [], []
    for source, bead in zip(sources, beads, strict=True):
        view, surface = source_view(store, source), store.get_mask(bead.mask)
        side_px = min(native_px, *surface.shape)
        for box in window_grid(surface.shape, side_px, surface):
            windows.append(np.asarray(crop(view, box)))
            owners.append(source.id)
            places.append(box)
    with embedder(context.models, context.models_fingerprint, context.device) as model:
        rows = model.embed(windows)
    return store.put_arrays(
        {
            "embedding": rows,
            "source": np.array(owners, dtype=np.str_),
            "box": np.array(places, dtype=np.int64).reshape(-1, 4),
        }
    )


@stage(version=1, run_name="find defects {sources[0].name} +")
def find_defects_batch(
    sources: Sequence[Source], grids: Sequence[Ref], sound: Sequence[Ref], context: RunContext
) -> list[Source | Refusal]:
    """Each defective image with the part of it that is least like the sound ones, or a refusal."""
    store = ContentStore(context.store_uri)
    known: Mapping[str, NDArray[Any]] = concatenated(store, sound)
    reference = SoundWindows.fit(known["embedding"], known["source"])
    arrays: Mapping[str, NDArray[Any]] = concatenated(store, grids)
    found: list[Source | Refusal] = []
    for source in sources:
        own = arrays["source"] == source.id
        boxes = [(int(x), int(y), int(w), int(h)) for x, y, w, h in arrays["box"][own]]
        shape = (source.height_px, source.width_px)
        weak = weak_region(arrays["embedding"][own], boxes, shape, reference)
        if weak.mask is None:
            reason = f"no mask or box, and no defect found by difference: {weak.reason}"
            found.append(Refusal(subject=source.name, stage=Stage.REGION, reason=reason))
        else:
            found.append(source.model_copy(update={"defect": store.put_mask(weak.mask)}))
    return found
