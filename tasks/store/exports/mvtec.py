"""MVTec AD's layout, as anomalib reads it: train/good, test/KIND, ground_truth/KIND/ID_mask.png.

The folder is a category: `MVTecAD(root=PARENT, category=NAME)`. Sound images alone train: those of
sources that have no defect in this export; everything of the others is tested. The layout has no
place for regions.
"""

from collections.abc import Iterable

from tasks.store.exports.examples import Example
from tasks.store.exports.folder import ExportFolder
from tasks.store.exports.selection import GOOD, Selection
from tasks.store.images import encoded_png


def write_mvtec(folder: ExportFolder, selection: Selection, examples: Iterable[Example]) -> None:
    """Write images and the masks of tested defects."""
    for example in examples:
        kind = selection.folders[example.provenance.kind] if example.is_ko else GOOD
        folder.write(f"{example.split}/{kind}/{example.stem}.png", example.image)
        if example.is_ko:
            mask = encoded_png(example.defect)
            folder.write(f"ground_truth/{kind}/{example.stem}_mask.png", mask)
