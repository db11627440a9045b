"""COCO: images/SPLIT/ and annotations/instances_SPLIT.json, masks as run lengths, so exact.

One annotation a defect, `iscrowd` 0; its `region` is the mask within which editing was allowed, as
run lengths too. Sound images have no annotation. `provenance` stands with each image.
"""

import json
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Self

from tasks.domain.rle import box_xywh, coco_rle
from tasks.store.exports.examples import Example
from tasks.store.exports.folder import ExportFolder
from tasks.store.exports.selection import Selection

LICENCE_ID = 1


def write_coco(folder: ExportFolder, selection: Selection, examples: Iterable[Example]) -> None:
    """Write the images of each split and its annotations."""
    classes = {kind: number for number, kind in enumerate(selection.kinds, start=1)}
    with ExitStack() as stack:
        tables = {
            split: stack.enter_context(_Annotations(folder, split, _head(selection, classes)))
            for split in selection.shares
        }
        for example in examples:
            folder.write(f"images/{example.split}/{example.stem}.png", example.image)
            tables[example.split].add(example, classes)


def _head(selection: Selection, classes: dict[str, int]) -> dict[str, Any]:
    """What COCO says of all images."""
    return {
        "info": {
            "description": f"POOL★ {selection.name} {selection.version}: synthetic defects",
            "version": selection.version,
            "date_created": selection.run["created_at"],
            "manifest": selection.manifest,
        },
        "licenses": [{"id": LICENCE_ID, "name": selection.params.licence or "unknown", "url": ""}],
        "categories": [
            {"id": number, "name": kind, "supercategory": "defect"}
            for kind, number in classes.items()
        ],
    }


class _Annotations:
    """One JSON file of a split, its two long lists spooled to disk as they grow."""

    def __init__(self, folder: ExportFolder, split: str, head: dict[str, Any]) -> None:
        self._folder, self._split, self._head = folder, split, head
        self._images = 0

    def __enter__(self) -> Self:
        folder = self._folder.path(f"annotations/{self._split}").parent
        self._spools = {
            name: (folder / f"{self._split}.{name}").open("x+b")
            for name in ("images", "annotations")
        }
        return self

    def add(self, example: Example, classes: dict[str, int]) -> None:
        """One image, with its defect where it has one."""
        self._images += 1
        height, width = example.defect.shape
        image = {
            "id": self._images, "file_name": f"{example.stem}.png", "width": width,
            "height": height, "license": LICENCE_ID,
            "provenance": example.provenance.model_dump(mode="json"),
        }  # fmt: skip
        self._append("images", image)
        if example.is_ko:
            defect = {
                "id": self._images, "image_id": self._images,
                "category_id": classes[example.provenance.kind], "iscrowd": 0,
                "segmentation": coco_rle(example.defect), "area": int(example.defect.sum()),
                "bbox": list(box_xywh(example.defect)), "region": coco_rle(example.region),
            }  # fmt: skip
            self._append("annotations", defect)

    def _append(self, name: str, value: dict[str, Any]) -> None:
        spool = self._spools[name]
        spool.write((",\n" if spool.tell() else "").encode() + json.dumps(value).encode())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                with self._folder.open(f"annotations/instances_{self._split}.json") as file:
                    self._join(file)
        finally:
            for spool in self._spools.values():
                spool.close()
        if kind is None:
            for name in self._spools:
                (self._folder.root / "annotations" / f"{self._split}.{name}").unlink()

    def _join(self, file: IO[bytes]) -> None:
        """The head and both lists as one JSON object."""
        file.write(json.dumps(self._head).encode()[:-1])
        for name, spool in self._spools.items():
            file.write(f',\n"{name}": [\n'.encode())
            spool.seek(0)
            shutil.copyfileobj(spool, file)
            file.write(b"\n]")
        file.write(b"}\n")
