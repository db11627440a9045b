"""The leakage guard: test images whose source, group or near-duplicate was used before the test.

Used is what fed the pool, what trained the detectors, and what a model set was adapted on.

Near-duplicates by normalised correlation r = <a, b>, a and b the fine structure of two images:
grey, at 48 x 48 pixels, less its own blur (sigma 3), of mean 0 and length 1; the highest over the
eight flips and quarter turns. Brightness and contrast, scale and JPEG leave r near 1; two parts of
one plant share their layout, which the blur takes away, but no ripple or scratch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize

from tasks.domain.errors import BadInput
from tasks.domain.luminance import luminance

SIDE_PX = 48
BLUR_PX = 3.0
NAMED_AT_MOST = 8
TRAINING, OF_POOL, TRAINED_SET = "training", "source of the pool", "trained the model set"


@dataclass(frozen=True)
class Seen:
    """What was used before the test, each image by its source id, group and fine structure."""

    sources: Mapping[str, str]
    groups: Mapping[str, str]
    names: Sequence[str]
    structure: NDArray[np.float32]


def fine_structure(image_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(SIDE_PX^2,) fine structure of an (H, W, 3) image: mean 0, length 1 (0 if uniform)."""
    grey = luminance(image_rgb)
    small = resize(grey, (SIDE_PX, SIDE_PX), order=1, anti_aliasing=True, preserve_range=True)
    fine = np.asarray(small - ndimage.gaussian_filter(small, BLUR_PX), dtype=np.float64)
    fine -= fine.mean()
    length = float(np.sqrt((fine**2).sum()))
    return np.asarray(fine.ravel() / length if length > 1e-6 else fine.ravel() * 0, np.float32)


def nearest_similarity(
    structure: NDArray[np.float32], known: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(n,) highest correlation of each row with any known row in any of 8 poses, and its index.

    Returns:
        -1 and -1 where nothing is known.
    """
    best = np.full(len(structure), -1.0, dtype=np.float32)
    place = np.full(len(structure), -1, dtype=np.int64)
    if not len(known):
        return best, place
    square = structure.reshape(-1, SIDE_PX, SIDE_PX)
    for turned in (square, square.transpose(0, 2, 1)):
        for rows in (slice(None), slice(None, None, -1)):
            for columns in (slice(None), slice(None, None, -1)):
                posed = np.ascontiguousarray(turned[:, rows, columns]).reshape(len(square), -1)
                similarity = posed @ known.T
                index = similarity.argmax(axis=1)
                value = similarity[np.arange(len(posed)), index]
                better = value > best
                best[better], place[better] = value[better], index[better]
    return best, place


def leaks(
    test: Iterable[tuple[str, str, str]],
    structure: NDArray[np.float32],
    seen: Seen,
    max_similarity: float,
) -> dict[str, str]:
    """The reason why a test image must not be tested on, by its name.

    Args:
        test: (name, source id, group) of each test image.
        structure: (n, d) their fine structure, in the same order.
        seen: what fed the pool, its calibration, the generator's or the detectors' training.
        max_similarity: correlation above which two images are near-duplicates.
    """
    found = {}
    similarity, nearest = nearest_similarity(structure, seen.structure)
    for row, (name, source, group) in enumerate(test):
        if source in seen.sources:
            found[name] = f"the same image as {seen.sources[source]}"
        elif group in seen.groups:
            found[name] = f"of group {group}, as {seen.groups[group]}"
        elif similarity[row] > max_similarity:
            other = seen.names[int(nearest[row])]
            found[name] = f"a near-duplicate of {other} (correlation {similarity[row]:.3f})"
    return found


def require_no_leaks(found: Mapping[str, str]) -> None:
    """Raises BadInput naming the leaking test images and what they were seen as."""
    if found:
        shown = "; ".join(f"{name} is {why}" for name, why in list(found.items())[:NAMED_AT_MOST])
        more = f"; and {len(found) - NAMED_AT_MOST} more" if len(found) > NAMED_AT_MOST else ""
        raise BadInput(
            "Expected test images that nothing has seen before, but the pool, its calibration, "
            f"the model set or the training knows {len(found)} of them: {shown}{more}. Take them "
            "out of the test, name a pool and a model set made without them, or leave them out "
            "with --drop-leaks"
        )
