"""YOLO segmentation: images/SPLIT/, labels/SPLIT/ID.txt, data.yaml.

A line is `class x1 y1 x2 y2 ...`, a polygon in shares of width and height; a sound image has an
empty file. A polygon can be neither in two parts nor have a hole, so a defect has a line for each
of its simple pieces (see contours.py). data.yaml names no `path`, so the folder can be moved.
"""

import json
from collections.abc import Iterable

import numpy as np

from tasks.domain.contours import outline_px, simple_pieces
from tasks.domain.luminance import BoolMask
from tasks.store.exports.examples import Example
from tasks.store.exports.folder import ExportFolder
from tasks.store.exports.selection import Selection

KEYS = ("train", "val", "test")


def write_yolo(folder: ExportFolder, selection: Selection, examples: Iterable[Example]) -> None:
    """Write the images and labels of each split, and what names the classes."""
    classes = {kind: number for number, kind in enumerate(selection.kinds)}
    for example in examples:
        folder.write(f"images/{example.split}/{example.stem}.png", example.image)
        label = ""
        if example.is_ko:
            label = polygon_lines(example.defect, classes[example.provenance.kind])
        folder.write(f"labels/{example.split}/{example.stem}.txt", label.encode())
    folder.write("data.yaml", _data_yaml(selection).encode())


def polygon_lines(mask: BoolMask, number: int) -> str:
    """A line for each simple piece of an (H, W) mask, of class `number`."""
    wh = np.array(mask.shape[::-1])
    lines = []
    for piece in simple_pieces(mask):
        points = " ".join(f"{share:.9f}" for share in (outline_px(piece) / wh).ravel())
        lines.append(f"{number} {points}\n")
    return "".join(lines)


def _data_yaml(selection: Selection) -> str:
    """Where each split lies and what each class is called; texts quoted as JSON, which YAML reads.

    An undivided export has a `train` alone: what to validate on is the user's to say.
    """
    splits = list(selection.shares)
    lines = [f"{split}: images/{split}" for split in splits]
    if not set(splits) & set(KEYS):
        lines.append(f"train: images/{splits[0]}")
    names = [f"  {number}: {json.dumps(kind)}" for number, kind in enumerate(selection.kinds)]
    return "\n".join([*lines, "names:" if names else "names: {}", *names]) + "\n"
