"""Memorisation: the share of candidates that are copies of windows the model was trained on.

s = max over training windows of min(cos(e, e_t), r(x, x_t)); memorised where s > .98. r is the
correlation of the edited pixels with the same pixels of the training window, what a quadratic of
the position explains taken out of both (shading; the fine content stays), the highest over 8 poses
of the square and shifts of up to 4 px. Copies are sought by likeness to the nearest training image
as in Somepalli et al., CVPR 2023, and Carlini et al., USENIX Security 2023.

Outside its region a candidate equals its source, and inside it keeps the source's grain. Therefore
only the region less its feathered rim is compared (the pixels about it would hide a copy laid on
another source), and a training window of the candidate's own source is no witness. The interval is
Wilson's (JASA 1927).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.domain.bootstrap import Estimate
from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.luminance import BoolMask, FloatArray, require_pixels

_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]

THRESHOLD = 0.98
ALIGNED = 16
SHIFT_PX = 4
FEATHER_PX = 2
MIN_PIXELS = 64
MAX_PIXELS = 2048
_Z95 = 1.959964
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Memorisation:
    """The share of memorised candidates with its 95 % interval, and each one's nearest window.

    similarity (n,) in [-1, 1] is min(cosine, correlation) of the training window `index` (n,);
    both are -1 where there was none to compare with.
    """

    share: float
    low: float
    high: float
    similarity: _Floats
    index: _Indices

    @property
    def estimate(self) -> Estimate:
        """The share as a record."""
        return Estimate(value=self.share, low=self.low, high=self.high)


def memorised_share(
    embeddings: FloatArray,
    greys: FloatArray,
    zones: BoolMask,
    train_embeddings: FloatArray,
    train_greys: FloatArray,
    threshold: float = THRESHOLD,
    *,
    sources: npt.NDArray[Any] | None = None,
    train_sources: npt.NDArray[Any] | None = None,
    aligned: int = ALIGNED,
) -> Memorisation:
    """How many candidates are copies of training windows.

    Args:
        embeddings: (n, d) unit rows of the candidates' windows.
        greys: (n, s, s) their grey levels, any affine scale.
        zones: (n, s, s) the pixels edited, none empty.
        train_embeddings, train_greys: (m, d) and (m, s, s) of the training windows; m may be 0.
        threshold: similarity above which a candidate is memorised.
        sources, train_sources: (n,) and (m,) source ids, both or neither; a training window of the
            candidate's own source is passed over.
        aligned: training windows nearest by cosine that are compared pixel by pixel.

    Raises:
        BadInput: there is no candidate, or a zone is empty.
        ShapeError: the shapes do not match.
    """
    _require_windows(embeddings, greys, zones, train_embeddings, train_greys)
    cosine = np.asarray(embeddings, np.float64) @ np.asarray(train_embeddings, np.float64).T
    if sources is not None and train_sources is not None:
        own = np.asarray(sources, np.str_)[:, None] == np.asarray(train_sources, np.str_)[None, :]
        cosine[own] = -np.inf
    similarity, index = np.full(len(greys), -1.0), np.full(len(greys), -1, dtype=np.int64)
    for row, (grey, zone) in enumerate(zip(greys, zones, strict=True)):
        compared = _Compared.of(grey, zone)
        for place in np.argsort(-cosine[row], kind="stable")[:aligned]:
            if cosine[row, place] <= similarity[row]:
                break  # of less cosine: no later window can be nearer
            near = min(float(cosine[row, place]), compared.correlation(train_greys[place]))
            if near > similarity[row]:
                similarity[row], index[row] = near, place
    hits = int((similarity > threshold).sum())
    low, high = wilson_interval(hits, len(greys))
    return Memorisation(hits / len(greys), low, high, similarity, index)


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share: the p with |hits/n - p| <= z sqrt(p (1 - p)/n); n at least 1."""
    share, spread = hits / count, _Z95**2 / count
    centre = share + spread / 2
    half = np.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = (centre - half) / (1 + spread), (centre + half) / (1 + spread)
    return max(0.0, float(low)) if hits else 0.0, min(1.0, float(high)) if hits < count else 1.0


@dataclass(frozen=True, eq=False)
class _Compared:
    """The edited pixels of a candidate, ready to be sought in a training window.

    template (p,) of length 1 and basis (p, 6) orthonormal; places (shifts, p) in a padded window.
    """

    template: _Floats
    basis: _Floats
    places: _Indices

    @classmethod
    def of(cls, grey: FloatArray, zone: BoolMask) -> "_Compared":
        """The edited pixels, ready; of many, an even draw."""
        require_pixels(zone, "edited zone")
        points = np.argwhere(_core(zone))
        if len(points) > MAX_PIXELS:
            points = np.random.default_rng(0).choice(points, MAX_PIXELS, replace=False)
        rows, cols = points[:, 0], points[:, 1]
        r, c = ((v - v.mean()) / max(float(np.ptp(v)), 1.0) for v in (rows, cols))
        basis, _ = np.linalg.qr(np.stack([np.ones_like(r), r, c, r * r, r * c, c * c], axis=1))
        values = np.asarray(grey, np.float64)[rows, cols]
        fine = values - basis @ (basis.T @ values)
        length = float(np.linalg.norm(fine))
        is_flat = length <= _FLAT * (float(np.linalg.norm(values)) + 1.0)
        template = 0 * fine if is_flat else fine / length
        side = grey.shape[1] + 2 * SHIFT_PX
        shift = np.arange(2 * SHIFT_PX + 1)
        moves = (shift[:, None] * side + shift[None, :]).reshape(-1, 1)
        return cls(template, basis, moves + (rows * side + cols)[None, :])

    def correlation(self, window: FloatArray) -> float:
        """The highest correlation with a training window (s, s) over poses and shifts."""
        centred = np.asarray(window, np.float64) - float(np.mean(window))
        return max(self._best(pose) for pose in _poses(np.pad(centred, SHIFT_PX, mode="edge")))

    def _best(self, padded: _Floats) -> float:
        """The highest correlation over shifts; a flat patch has 0."""
        patches = padded.ravel()[self.places]
        power = (patches**2).sum(axis=1)
        fine = power - ((patches @ self.basis) ** 2).sum(axis=1)
        products = patches @ self.template
        out = np.zeros(len(patches))
        np.divide(products, np.sqrt(np.maximum(fine, 0)), out=out, where=fine > _FLAT * (power + 1))
        return float(out.max())


def _core(zone: BoolMask) -> BoolMask:
    """The zone less its feathered rim, where the source shines through.

    A zone with too few pixels for that is taken whole; one of a few pixels with its surroundings.
    """
    square = np.ones((3, 3), dtype=bool)
    inner = ndimage.binary_erosion(zone, square, iterations=FEATHER_PX)
    if inner.sum() >= MIN_PIXELS:
        return np.asarray(inner)
    if zone.sum() >= MIN_PIXELS:
        return zone
    return np.asarray(ndimage.binary_dilation(zone, square, iterations=FEATHER_PX))


def _poses(square: _Floats) -> Iterator[_Floats]:
    """The square in its 8 poses: quarter turns, and those of its mirror image."""
    for image in (square, square.T):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(image, turns))


def _require_windows(
    embeddings: FloatArray,
    greys: FloatArray,
    zones: BoolMask,
    train_embeddings: FloatArray,
    train_greys: FloatArray,
) -> None:
    if len(greys) == 0:
        raise BadInput("Expected candidates to look for copies among, but got none")
    n, m, side = len(greys), len(train_greys), greys.shape[-1]
    shapes = [one.shape for one in (greys, zones, train_greys)]
    if shapes != [(n, side, side), (n, side, side), (m, side, side)]:
        raise ShapeError(f"Expected square windows and zones of one side, but got {shapes}")
    if embeddings.shape[0] != n or train_embeddings.shape != (m, embeddings.shape[1]):
        raise ShapeError(
            f"Expected {n} and {m} embeddings of one width, but got {embeddings.shape} and "
            f"{train_embeddings.shape}"
        )
