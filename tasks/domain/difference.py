"""Where a defect most likely lies: the part of a KO image that no OK image resembles.

d_w = mean cosine distance of window w to its 3 nearest OK windows (a patch memory: Roth et al.,
PatchCore, CVPR 2022; cosine k-NN of window embeddings here, see calibration.py). Score of a pixel:
the mean d_w of the windows that cover it. With q the quantile of the OK windows' own distances to
other sources, the weak region is the blob above (q + max score)/2 about the highest score.

A window is judged at a time: of n sound windows, some n (1 - quantile) are beyond q by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.domain.calibration import Reference
from tasks.domain.errors import BadInput, BadParameters, ShapeError
from tasks.domain.luminance import BoolMask, FloatArray
from tasks.domain.window import Box, crop

_Floats = npt.NDArray[np.float64]
MIN_INSIDE = 0.5
QUANTILE = 0.99


@dataclass(frozen=True, eq=False)
class SoundWindows:
    """What sound windows look like, and the distance beyond which a window is not one of them."""

    reference: Reference
    limit: float

    @classmethod
    def fit(
        cls, ok_embeddings: FloatArray, ok_groups: npt.NDArray[Any], quantile: float = QUANTILE
    ) -> Self:
        """Sound windows with their limit.

        Args:
            ok_embeddings: (m, d) unit rows.
            ok_groups: (m,) their sources, 4 or more.
            quantile: of the OK windows' distances to windows of other sources, in (0, 1].

        Raises:
            BadInput: too few sources, or a row that is not finite.
            BadParameters: the quantile is out of its range.
            ShapeError: the shapes do not match, or rows are not of unit length.
        """
        if not 0 < quantile <= 1:
            raise BadParameters(f"Expected a quantile in (0, 1], but got {quantile}")
        reference = Reference.fit(ok_embeddings, ok_groups, "cosine")
        own = reference.distance(ok_embeddings, ok_groups)
        return cls(reference, float(np.quantile(own, quantile)))


@dataclass(frozen=True, eq=False)
class WeakRegion:
    """The weak region (H, W) of an image, or None and why there is none.

    farthest is the highest distance of a window (nan without windows), limit the OK windows' own.
    """

    mask: BoolMask | None
    farthest: float
    limit: float
    reason: str | None = None


def window_grid(
    shape_hw: tuple[int, int], side_px: int, inside: BoolMask | None = None
) -> tuple[Box, ...]:
    """Square windows over an image, half overlapping, the last row and column flush with its edge.

    Args:
        shape_hw: of the image.
        side_px: of a window.
        inside: (H, W), windows with fewer than half of their pixels in it are left out; None
            leaves none out.

    Returns:
        (x, y, w, h) each, row by row; without `inside` they cover every pixel.

    Raises:
        BadParameters: a window does not fit into the image.
        ShapeError: inside is not of the image's shape.
    """
    if not 1 <= side_px <= min(shape_hw):
        raise BadParameters(
            f"Expected windows of 1 to {min(shape_hw)} px in an image of {shape_hw[0]}x"
            f"{shape_hw[1]}, but got {side_px}"
        )
    if inside is not None and inside.shape != shape_hw:
        raise ShapeError(f"Expected a mask of {shape_hw}, but got {inside.shape}")
    boxes = [
        (x, y, side_px, side_px)
        for y in _starts(shape_hw[0], side_px)
        for x in _starts(shape_hw[1], side_px)
    ]
    if inside is None:
        return tuple(boxes)
    return tuple(box for box in boxes if float(crop(inside, box).mean()) >= MIN_INSIDE)


def weak_region(
    embeddings: FloatArray,
    boxes_xywh: Sequence[Box],
    shape_hw: tuple[int, int],
    sound: SoundWindows,
) -> WeakRegion:
    """The part of an image that is least like the sound ones.

    Args:
        embeddings: (n, d) unit rows of the image's windows; n may be 0.
        boxes_xywh: where they lie, one a row (see `window_grid`).
        shape_hw: of the image.
        sound: the OK windows; none of this image's source.

    Returns:
        A connected mask no larger than one window, or None with a reason when no window is farther
        from the sound ones than their limit.

    Raises:
        BadInput: a row is not finite.
        ShapeError: rows and boxes differ in number, or rows from the sound ones in width.
    """
    if len(boxes_xywh) != len(embeddings):
        raise ShapeError(f"Expected a box a window, but got {len(boxes_xywh)}, {len(embeddings)}")
    if not len(embeddings):
        return WeakRegion(None, float("nan"), sound.limit, "no window lies on what is inspected")
    distances = sound.reference.distance(embeddings).astype(np.float64)
    if not np.isfinite(distances).all():
        raise BadInput("Expected finite embeddings, but got nan or inf; leave those windows out")
    farthest = float(distances.max())
    if farthest <= sound.limit:
        reason = f"no window differs: farthest {farthest:.4f} <= {sound.limit:.4f} (OK windows)"
        return WeakRegion(None, farthest, sound.limit, reason)
    score = _pixel_scores(distances, boxes_xywh, shape_hw)
    side = max(max(w, h) for _, _, w, h in boxes_xywh)
    return WeakRegion(_blob(score, sound.limit, side), farthest, sound.limit)


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin along one axis; the last one ends at `length`."""
    return [*range(0, length - side, max(1, side // 2)), length - side]


def _pixel_scores(distances: _Floats, boxes: Sequence[Box], shape_hw: tuple[int, int]) -> _Floats:
    """(H, W) mean distance of the windows that cover a pixel; -inf where none does."""
    total, count = np.zeros(shape_hw), np.zeros(shape_hw)
    for distance, box in zip(distances, boxes, strict=True):
        crop(total, box)[...] += distance
        crop(count, box)[...] += 1
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf)


def _blob(score: _Floats, limit: float, side: int) -> BoolMask:
    """The pixels about the highest score and above halfway, within a square of one window.

    Where the mean over windows falls short of the limit, halfway is beyond the highest score; the
    blob is then the pixels of that score.
    """
    peak = float(score.max())
    top = _component(score >= peak, np.unravel_index(int(score.argmax()), score.shape))
    points = np.argwhere(top)
    middle = points.mean(axis=0)
    seed = points[((points - middle) ** 2).sum(axis=1).argmin()]
    start = [
        int(np.clip(at - side // 2, 0, max(length - side, 0)))
        for at, length in zip(seed, score.shape, strict=True)
    ]
    square = np.zeros(score.shape, dtype=bool)
    crop(square, (start[1], start[0], side, side))[...] = True
    high = score >= min((limit + peak) / 2, peak)
    return _component(high & square, tuple(seed))


def _component(mask: BoolMask, at: tuple[Any, ...]) -> BoolMask:
    """The connected part of a mask that holds a pixel."""
    labels, _ = ndimage.label(mask)
    return np.asarray(labels == labels[at])
