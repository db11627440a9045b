"""FiftyOne: data/, fields/ and samples.json, as `Dataset.from_dir` reads `types.FiftyOneDataset`.

The form of before version 0.8, which needs no database to be written and is read by every version
since. Each sample carries its split as tag, `defect` (detections with instance masks), `region`
(segmentation), `ground_truth` (classification), and its provenance as fields.
"""

import json
from collections.abc import Iterable
from typing import Any

from tasks.domain.export_records import provenance_types
from tasks.domain.records import content_id
from tasks.domain.rle import box_xywh
from tasks.store.exports.examples import Example
from tasks.store.exports.folder import ExportFolder
from tasks.store.exports.selection import Selection
from tasks.store.images import encoded_png

DEFECTS, REGIONS = "fields/defect.detections", "fields/region"
LABELS = {"defect": "Detections", "region": "Segmentation", "ground_truth": "Classification"}
RENAMED = {"id": "pool_id", "label": "verdict"}  # FiftyOne has its own id, labels are records
FIELDS = {str: "StringField", int: "IntField", float: "FloatField", bool: "BooleanField"}


def write_fiftyone(folder: ExportFolder, selection: Selection, examples: Iterable[Example]) -> None:
    """Write images, masks, and the samples one by one."""
    with folder.open("samples.json") as file:
        file.write(b'{"samples": [')
        for number, example in enumerate(examples):
            folder.write(f"data/{example.stem}.png", example.image)
            folder.write(f"{REGIONS}/{example.stem}.png", encoded_png(example.region))
            defects = [_defect(folder, example)] if example.is_ko else []
            sample = json.dumps(_sample(example, defects))
            file.write((",\n" if number else "\n").encode() + sample.encode())
        file.write(b"\n]}\n")
    folder.write("metadata.json", json.dumps(_metadata(selection), indent=1).encode())


def _defect(folder: ExportFolder, example: Example) -> dict[str, Any]:
    """The defect as a detection: its box in shares of the image, its mask cut to that box."""
    x, y, width, height = box_xywh(example.defect)
    path = f"{DEFECTS}/{example.stem}.png"
    folder.write(path, encoded_png(example.defect[y : y + height, x : x + width]))
    rows, cols = example.defect.shape
    return {
        "_id": _object_id("defect", example), "_cls": "Detection", "attributes": {}, "tags": [],
        "label": example.provenance.kind, "mask_path": path,
        "bounding_box": [x / cols, y / rows, width / cols, height / rows],
    }  # fmt: skip


def _sample(example: Example, defects: list[dict[str, Any]]) -> dict[str, Any]:
    told = example.provenance.model_dump(mode="json")
    return {
        "_id": _object_id("sample", example),
        "filepath": f"data/{example.stem}.png",
        "tags": [example.split],
        "metadata": None,
        "_media_type": "image",
        "defect": {"_cls": "Detections", "detections": defects},
        "region": {
            "_id": _object_id("region", example), "_cls": "Segmentation", "tags": [],
            "mask_path": f"{REGIONS}/{example.stem}.png",
        },
        "ground_truth": {
            "_id": _object_id("label", example), "_cls": "Classification", "tags": [],
            "label": example.provenance.kind,
        },
    } | {RENAMED.get(name, name): value for name, value in told.items()}  # fmt: skip


def _metadata(selection: Selection) -> dict[str, Any]:
    """The fields' types, stated because a field may hold nulls alone."""
    labels = "fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.labels.{})"
    fields = {
        "filepath": "fiftyone.core.fields.StringField",
        "tags": "fiftyone.core.fields.ListField(fiftyone.core.fields.StringField)",
        "metadata": "fiftyone.core.fields.EmbeddedDocumentField("
        "fiftyone.core.metadata.ImageMetadata)",
        **{name: labels.format(kind) for name, kind in LABELS.items()},
    }
    for name, kind in provenance_types().items():
        fields[RENAMED.get(name, name)] = f"fiftyone.core.fields.{FIELDS[kind]}"
    info = {
        "pool": selection.name, "version": selection.version, "manifest": selection.manifest,
        "licence": selection.params.licence or "unknown", "classes": list(selection.kinds),
    }  # fmt: skip
    return {
        "name": f"{selection.name}-{selection.version}", "media_type": "image",
        "sample_fields": fields, "info": info, "default_classes": list(selection.kinds),
    }  # fmt: skip


def _object_id(what: str, example: Example) -> dict[str, str]:
    """24 hex digits, as MongoDB names things; the same for the same image."""
    return {"$oid": content_id(what, example.stem)[:24]}
