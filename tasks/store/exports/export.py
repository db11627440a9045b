"""Export: a version's images, masks and provenance as a folder that other tools open."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from tasks.domain.changed_pixels import MaskOrigin
from tasks.domain.export_records import ExportFormat, ExportParams, ExportResult
from tasks.store.exports.card import dataset_card
from tasks.store.exports.coco import write_coco
from tasks.store.exports.croissant import croissant_json
from tasks.store.exports.examples import Example, measured_floor, read_examples
from tasks.store.exports.fiftyone import write_fiftyone
from tasks.store.exports.folder import CROISSANT, SUMS, ExportFolder, new_folder
from tasks.store.exports.imagefolder import write_imagefolder
from tasks.store.exports.mvtec import write_mvtec
from tasks.store.exports.parquet import write_parquet
from tasks.store.exports.selection import Selection
from tasks.store.exports.yolo import write_yolo

Writer = Callable[[ExportFolder, Selection, Iterable[Example]], None]
WRITERS: dict[ExportFormat, Writer] = {
    "imagefolder": write_imagefolder,
    "coco": write_coco,
    "yolo": write_yolo,
    "mvtec": write_mvtec,
    "parquet": write_parquet,
    "fiftyone": write_fiftyone,
}
CARD, PROVENANCE = "README.md", "provenance.jsonl"


@dataclass
class Tally:
    """What went by: images, masks that are the region for want of a change, images of 16 bits."""

    images: int = 0
    region_masks: int = 0
    deep: int = 0


def export_pool(params: ExportParams) -> ExportResult:
    """Write an export; the folder stands whole or not at all, and equal versions give equal bytes.

    Raises:
        BadInput: what is asked for cannot be exported, or the folder is not free.
        UnknownVersion: no such pool or version.
        PoolBroken: the pool cannot be read.
        PoolstarError: the folder cannot be written.
    """
    selection, tally = Selection(params), Tally()
    floor = measured_floor(selection)
    about = {
        "format": params.format, "pool": selection.name, "version": selection.version,
        "manifest": selection.manifest, "images": selection.images, "classes": selection.folders,
    }  # fmt: skip
    with new_folder(params.out, params.pool, about) as folder:
        with folder.open(PROVENANCE) as file:
            examples = _told(read_examples(selection, floor), tally, file)
            WRITERS[params.format](folder, selection, examples)
        card = dataset_card(selection, floor, tally.region_masks, tally.deep)
        folder.write(CARD, card.encode())
        folder.write(SUMS, folder.sums())
        folder.write(CROISSANT, croissant_json(selection, folder).encode())
        return ExportResult(
            format=params.format,
            folder=params.out,
            version=selection.version,
            manifest=selection.manifest,
            images=tally.images,
            by_split=selection.counts,
            repaint_floor=floor,
            region_masks=tally.region_masks,
            files=len(folder.files()),
            size_bytes=folder.size_bytes,
        )


def _told(examples: Iterable[Example], tally: Tally, file: IO[bytes]) -> Iterator[Example]:
    """The examples as they come, each counted and its provenance written."""
    for example in examples:
        tally.images += 1
        tally.region_masks += example.provenance.mask_origin is MaskOrigin.REGION
        tally.deep += example.is_deep
        file.write((example.provenance.model_dump_json() + "\n").encode())
        yield example
