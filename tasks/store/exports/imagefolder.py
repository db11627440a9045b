"""Hugging Face `datasets` imagefolder: SPLIT/metadata.jsonl beside images, masks and regions.

`load_dataset("imagefolder", data_dir=DIR)` gives the columns `image`, `mask` (the defect, black
where there is none) and `region` (where editing was allowed) as images, what an image shows and
comes from as plain columns, and everything else as JSON in `provenance`. Columns are never null: of
a split that holds nulls alone the reader could not tell the type.
"""

import json
from collections.abc import Iterable
from contextlib import ExitStack

from tasks.store.exports.examples import Example
from tasks.store.exports.folder import ExportFolder
from tasks.store.exports.selection import Selection
from tasks.store.images import encoded_png

PLAIN = ("id", "source_id", "label", "kind", "is_synthetic", "is_placebo")


def write_imagefolder(
    folder: ExportFolder, selection: Selection, examples: Iterable[Example]
) -> None:
    """Write the images of each split and its table."""
    with ExitStack() as stack:
        tables = {
            split: stack.enter_context(folder.open(f"{split}/metadata.jsonl"))
            for split in selection.shares
        }
        for example in examples:
            files = {
                "file_name": (f"images/{example.stem}.png", example.image),
                "mask_file_name": (f"masks/{example.stem}.png", encoded_png(example.defect)),
                "region_file_name": (f"regions/{example.stem}.png", encoded_png(example.region)),
            }
            for name, data in files.values():
                folder.write(f"{example.split}/{name}", data)
            line = {column: name for column, (name, _) in files.items()}
            line |= {name: getattr(example.provenance, name) for name in PLAIN}
            line |= {"prompt": example.provenance.prompt or ""}
            line |= {"provenance": example.provenance.model_dump_json()}
            tables[example.split].write((json.dumps(line) + "\n").encode())
