"""Examples: the selected images with their masks and provenance, read a batch at a time."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tasks.domain.changed_pixels import MaskOrigin, change_levels, defect_mask, repaint_floor
from tasks.domain.errors import ImageRefused, PoolBroken
from tasks.domain.export_records import Provenance
from tasks.domain.file_names import file_stem
from tasks.domain.images import Pixels
from tasks.domain.luminance import BoolMask
from tasks.domain.records import SOUND
from tasks.store.exports.selection import Selection
from tasks.store.images import archived_pixels, decoded_png, encoded_png
from tasks.store.tables import among

TOLD = (
    "generation", "prompt", "negative_prompt", "seed", "strength", "guidance_scale", "steps",
    "effective_steps", "s_i", "realism", "utility", "d_plaus", "model_set", "maker", "run_id",
)  # fmt: skip
COLUMNS = [
    "id", "source_id", "kind", "is_placebo", "region", "created_at", *TOLD, "image", "mask",
    "bead_mask",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Example:
    """One image to export.

    `stem` is its file's name without suffix, `image` a PNG; `defect` and `region` (H, W), empty
    where there is none.
    """

    stem: str
    image: bytes
    defect: BoolMask
    region: BoolMask
    provenance: Provenance

    @property
    def split(self) -> str:
        """Its split."""
        return self.provenance.split

    @property
    def is_ko(self) -> bool:
        """Whether it shows a defect."""
        return self.provenance.label == "KO"

    @property
    def is_deep(self) -> bool:
        """Whether its grey levels have 16 bits: byte 24 of a PNG is the depth of its samples."""
        return self.image[24] == 16


def measured_floor(selection: Selection) -> float:
    """What repainting alone changes in this version, grey levels, by its first placebos.

    Raises:
        PoolBroken: an image or its source cannot be read.
    """
    columns = ["id", "source_id", "image", "mask"]
    rows = next(selection.batches("pool", columns, pc.field("is_placebo")), [])
    originals = _originals(selection, {row["source_id"] for row in rows})
    levels = []
    for row in rows:
        after, region = _decoded(selection, row, "image", "mask")
        levels.append(change_levels(originals[row["source_id"]], after)[region > 0])
    return repaint_floor(levels)


def read_examples(selection: Selection, floor: float) -> Iterator[Example]:
    """Each image once: the pool's in its own order, then the real ones.

    Args:
        selection: which.
        floor: what repainting alone changes, grey levels; a defect is what changed more.

    Raises:
        PoolBroken: an image or its source cannot be read.
    """
    for batch in selection.batches("pool", COLUMNS, selection.where):
        originals = _originals(selection, {row["source_id"] for row in batch})
        for row in batch:
            yield _edited(selection, row, originals[row["source_id"]], floor)
    if selection.params.with_sources:
        for batch in selection.batches("sources", ["id", "bytes"], pc.field("label") == "OK"):
            yield from (_real(selection, row) for row in batch)


def _originals(selection: Selection, ids: Iterable[str]) -> dict[str, Pixels]:
    """The pixels of some sources, by id."""
    if not (wanted := sorted(ids)):
        return {}
    batches = selection.batches("sources", ["id", "bytes"], among("id", wanted))
    found = {row["id"]: _pixels(selection, row) for batch in batches for row in batch}
    if missing := [one for one in wanted if one not in found]:
        raise PoolBroken(
            f"Expected source {missing[0]} in {selection.uri} {selection.version}, but it is "
            "missing; restore the pool from a copy"
        )
    return found


def _pixels(selection: Selection, row: dict[str, Any]) -> Pixels:
    """A source's pixels."""
    try:
        return archived_pixels(row["bytes"])
    except ImageRefused as exc:
        raise PoolBroken(
            f"Expected source {row['id']} of {selection.uri} to be an image, but: {exc}; restore "
            "the pool from a copy"
        ) from exc


def _decoded(selection: Selection, row: dict[str, Any], *names: str) -> list[Pixels]:
    """Some of a row's PNGs."""
    try:
        return [decoded_png(row[name]) for name in names]
    except (OSError, SyntaxError) as exc:
        raise PoolBroken(
            f"Expected a readable image {row['id']} in {selection.uri} {selection.version}, but: "
            f"{exc}; see `poolstar pool verify`"
        ) from exc


def _edited(selection: Selection, row: dict[str, Any], before: Pixels, floor: float) -> Example:
    """A row of the pool with its defect's mask."""
    after, allowed, bead = _decoded(selection, row, "image", "mask", "bead_mask")
    region: BoolMask = allowed > 0
    defect, origin = np.zeros_like(region), MaskOrigin.NONE
    if not row["is_placebo"]:
        defect, origin = defect_mask(before, after, region, bead > 0, floor)
    group, split = selection.place_of(row["source_id"])
    provenance = Provenance(
        id=row["id"], source_id=row["source_id"], group=group, split=split,
        label="OK" if row["is_placebo"] else "KO", kind=SOUND if row["is_placebo"] else row["kind"],
        is_synthetic=True, is_placebo=row["is_placebo"], mask_origin=origin,
        image_sha256=hashlib.sha256(row["image"]).hexdigest(), pool=selection.name,
        version=selection.version, manifest=selection.manifest,
        model_set_fingerprint=selection.fingerprints.get(row["run_id"]),
        region_shape=row["region"], painted_on=row["created_at"],
        **{name: row[name] for name in TOLD},
    )  # fmt: skip
    return Example(file_stem(row["id"]), row["image"], defect, region, provenance)


def _real(selection: Selection, row: dict[str, Any]) -> Example:
    """A real sound image, as the edits saw it: upright, and lossless."""
    pixels = _pixels(selection, row)
    image, nothing = encoded_png(pixels), np.zeros(pixels.shape[:2], dtype=bool)
    group, split = selection.place_of(row["id"])
    provenance = Provenance(
        id=row["id"], source_id=row["id"], group=group, split=split, label="OK", kind=SOUND,
        is_synthetic=False, is_placebo=False, mask_origin=MaskOrigin.NONE,
        image_sha256=hashlib.sha256(image).hexdigest(), pool=selection.name,
        version=selection.version, manifest=selection.manifest,
    )  # fmt: skip
    return Example(f"real-{file_stem(row['id'])}", image, nothing, nothing, provenance)
