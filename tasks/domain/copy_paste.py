"""Copy-paste of a real defect onto a sound part: the plain rival of everything generated.

Ghiasi et al., CVPR 2021 (simple copy-paste), with the feather of this project; on the detector's
views, where beads lie straight, so that a defect keeps its place across the bead and moves along
it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.errors import BadInput
from tasks.domain.window import feather

GROWN_PX = 2
FEATHER_PX = 2.0


def pasted(
    sound: NDArray[np.uint8],
    defective: NDArray[np.uint8],
    defect: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    along_only: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The sound view with the other view's defect on it, at a random place, and the defect's mask.

    Args:
        sound, defective: (h, w, 3).
        defect: (h, w), the defect in `defective`; it is grown a little, and its rim blended.
        rng: where to, and whether mirrored.
        along_only: keep the row (a bead lies straight); otherwise anywhere.

    Raises:
        BadInput: the defect's mask is empty.
    """
    if not defect.any():
        raise BadInput("Expected a mask that shows a defect to copy, but it is empty")
    region = ndimage.binary_dilation(defect, iterations=GROWN_PX)
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    patch, weight = defective[box].astype(np.float32), feather(region[box], FEATHER_PX)[..., None]
    shown = defect[box]
    if rng.random() < 0.5:
        patch, weight, shown = patch[:, ::-1], weight[:, ::-1], shown[:, ::-1]
    height, width = patch.shape[:2]
    left = int(rng.integers(0, sound.shape[1] - width + 1))
    top = rows[0] if along_only else int(rng.integers(0, sound.shape[0] - height + 1))
    out = sound.astype(np.float32)
    place = slice(top, top + height), slice(left, left + width)
    out[place] += weight * (patch - out[place])
    mask = np.zeros(sound.shape[:2], dtype=bool)
    mask[place] = shown
    return np.clip(np.rint(out), 0, 255).astype(np.uint8), mask
