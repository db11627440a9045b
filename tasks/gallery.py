"""Pictures of a run: source, edited region and candidate side by side, as small data-URIs."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tasks.domain.images import display_range, display_rgb
from tasks.domain.records import ForeignEdit, Judged, Record
from tasks.sources import source_pixels
from tasks.store.files import ContentStore

CONTEXT = 1.3  # the crop's side over the window's
PANEL_PX = 132
GAP_PX = 4
OUTLINE = (255, 196, 0)
JPEG_QUALITY = 86


class Tile(Record):
    """One candidate as the gallery shows it; `strip` is a data-URI of three panels."""

    id: str
    kind: str
    prompt: str
    source: str
    strip: str
    s_i: float
    realism: float
    utility: float
    d_plaus: float
    making: str
    is_placebo: bool
    reasons: tuple[str, ...]


def tile_of(judged: Judged, store: ContentStore) -> Tile:
    """The tile of a candidate, its pictures read from the store."""
    candidate, scores = judged.candidate, judged.scores
    edit = candidate.plan.edit
    return Tile(
        id=candidate.id,
        kind=edit.kind,
        prompt=edit.prompt,
        source=candidate.plan.source.name,
        strip=_strip(judged, store),
        s_i=scores.s_i,
        realism=scores.realism,
        utility=scores.utility,
        d_plaus=scores.d_plaus,
        making=f"by {edit.maker}" if isinstance(edit, ForeignEdit) else f"strength {edit.strength}",
        is_placebo=edit.is_placebo,
        reasons=judged.verdict.reasons,
    )


def _strip(judged: Judged, store: ContentStore) -> str:
    """Source, region outlined on the source, candidate: one JPEG as data-URI."""
    plan = judged.candidate.plan
    pixels = source_pixels(store, plan.source)
    value_range = display_range(pixels)
    before = display_rgb(pixels, value_range)
    after = display_rgb(store.get_image(judged.candidate.image), value_range)
    region = store.get_mask(plan.region)
    box = view_box(plan.window_xywh, region.shape)
    return data_uri(
        joined([panel(before[box]), outlined(before[box], region[box]), panel(after[box])])
    )


def joined(panels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Panels beside each other with white gaps; one or more."""
    gap = np.full((PANEL_PX, GAP_PX, 3), 255, dtype=np.uint8)
    parts = [part for one in panels for part in (one, gap)]
    return np.concatenate(parts[:-1], axis=1)


def view_box(window_xywh: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """A square around the window with some context, inside the image."""
    x, y, width, height = window_xywh
    side = min(round(CONTEXT * max(width, height)), *shape)
    top = int(np.clip(y + height / 2 - side / 2, 0, shape[0] - side))
    left = int(np.clip(x + width / 2 - side / 2, 0, shape[1] - side))
    return slice(top, top + side), slice(left, left + side)


def panel(view: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The view at the panel's size."""
    image = Image.fromarray(np.ascontiguousarray(view))
    return np.asarray(image.resize((PANEL_PX, PANEL_PX), Image.Resampling.LANCZOS))


def outlined(view: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The view with the region's outline, drawn after scaling so that it stays thin."""
    drawn = panel(view).copy()
    side = region.shape[0]
    index = (np.arange(PANEL_PX) * side) // PANEL_PX
    large = region[np.ix_(index, index)]
    drawn[large & ~ndimage.binary_erosion(large, iterations=1)] = OUTLINE
    return drawn


def data_uri(image_rgb: NDArray[np.uint8]) -> str:
    """A JPEG data-URI of an (h, w, 3) picture; for looking at, never for training."""
    buffer = io.BytesIO()
    Image.fromarray(image_rgb).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
