"""Typicality: how usual a measure is among the real images of the run.

t(d) = 1 for d <= q50, .7 at q95, 0 at 2 q99, linear between, with q the quantiles of the
distances of each real image to the real images of other sources (leave one source out):
d_i = mean of the k = 3 smallest |f_i - f_j| over j with group(j) != group(i). It is the distance
to the nearest neighbours as an outlier score (Ramaswamy, Rastogi & Shim, SIGMOD 2000), read
through the quantiles of what is known to be real, as conformal anomaly detection does
(Laxhammar & Falkman, 2014).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.spatial.distance import cdist

from tasks.domain.errors import BadInput, BadParameters, ShapeError
from tasks.domain.luminance import FloatArray

Metric = Literal["l1_mean", "euclidean", "cosine"]
Groups = npt.NDArray[np.str_]

NEIGHBOURS = 3
MIN_GROUPS = 4
_AT_Q95 = 0.7
_BLOCK_ROWS = 512
_MAD_TO_SIGMA = 1.4826
_UNIT_TOLERANCE = 1e-3


class Quantiles(BaseModel):
    """The spread of a distance (0 is ordinary, larger is rarer) among n real examples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    q50: float = Field(ge=0, allow_inf_nan=False)
    q95: float = Field(ge=0, allow_inf_nan=False)
    q99: float = Field(ge=0, allow_inf_nan=False)
    n: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.q50 <= self.q95 <= self.q99:
            raise ValueError(f"Expected q50 <= q95 <= q99, but got {self.q50, self.q95, self.q99}")
        return self

    @classmethod
    def of(cls, distances: npt.NDArray[Any]) -> Self:
        """The quantiles of some distances.

        Args:
            distances: (n,) finite; rounding below 0 counts as 0.

        Raises:
            BadInput: there are none, or one is not finite.
        """
        if distances.size == 0 or not np.isfinite(distances).all():
            raise BadInput(
                f"Expected finite distances to calibrate on, but got {distances.size} of which "
                f"{int((~np.isfinite(distances)).sum())} are not finite; check the images"
            )
        q50, q95, q99 = np.quantile(np.clip(distances, 0, None), (0.50, 0.95, 0.99))
        return cls(q50=q50, q95=max(q95, q50), q99=max(q99, q95, q50), n=distances.size)

    def typicality(self, d: float) -> float:
        """How usual d is: 1 up to q50, .7 at q95, 0 from 2 q99 on; never rises with d.

        Ties are steps: with q50 = q95 it drops from 1 to .7 just above q50, and with q99 = 0 every
        d > 0 is atypical. Not a number is atypical (0).
        """
        if d <= self.q50:
            return 1.0
        if d <= self.q95:
            return 1.0 - (1.0 - _AT_Q95) * (d - self.q50) / (self.q95 - self.q50)
        if d < 2 * self.q99:
            return _AT_Q95 * (2 * self.q99 - d) / (2 * self.q99 - self.q95)
        return 0.0


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of real images, and the quantiles of their distances to each other.

    features (n, p) float32 as given; groups (n,) source ids; centre and scale (p,) are 0 and 1
    unless the metric is euclidean.
    """

    features: FloatArray
    groups: Groups
    metric: Metric
    centre: FloatArray
    scale: FloatArray
    quantiles: Quantiles

    @classmethod
    def fit(cls, features: npt.NDArray[Any], groups: npt.NDArray[Any], metric: Metric) -> Self:
        """A reference calibrated by leaving one source out at a time.

        Args:
            features: (n, p) finite; unit rows for the cosine.
            groups: (n,) source id of each row; a source may have many rows.
            metric: l1_mean (between quantile functions it is the Wasserstein-1 distance),
                euclidean (columns standardised by median and MAD), or cosine (1 - a.b).

        Raises:
            BadInput: fewer than 4 sources, or a feature that is not finite.
            BadParameters: an unknown metric.
            ShapeError: features and groups do not match, or cosine rows are not of unit length.
        """
        rows = np.asarray(features, dtype=np.float32)
        names = np.asarray(groups, dtype=np.str_)
        _require_reference(rows, names, metric)
        centre, scale = np.zeros(rows.shape[1], np.float32), np.ones(rows.shape[1], np.float32)
        if metric == "euclidean":
            centre, scale = _robust_standard(rows)
        uncalibrated = cls(rows, names, metric, centre, scale, Quantiles(q50=0, q95=0, q99=0, n=1))
        quantiles = Quantiles.of(uncalibrated.distance(rows, names))
        return cls(rows, names, metric, centre, scale, quantiles)

    def distance(
        self, features: npt.NDArray[Any], exclude: npt.NDArray[Any] | None = None
    ) -> FloatArray:
        """Mean distance of each row to its 3 nearest reference rows of other sources.

        Args:
            features: (m, p).
            exclude: (m,) the source each row comes from, left out because its likeness to its own
                source would make every candidate typical; None leaves none out.

        Returns:
            (m,) float32, >= 0; inf where no reference row remains, or a feature is not finite.

        Raises:
            ShapeError: p differs from the reference's, or exclude from m.
        """
        rows = np.asarray(features, dtype=np.float32)
        if rows.ndim != self.features.ndim or rows.shape[1] != self.features.shape[1]:
            raise ShapeError(
                f"Expected (m, {self.features.shape[1]}) features, but got {rows.shape}; "
                "measure them as the reference was measured"
            )
        if exclude is not None and len(exclude) != len(rows):
            raise ShapeError(
                f"Expected one source a row, but got {len(exclude)} sources for {len(rows)} rows"
            )
        out = np.full(len(rows), np.inf, dtype=np.float32)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            apart = self._pairwise(rows[block])
            if exclude is not None:
                own = np.asarray(exclude, dtype=np.str_)[block, None] == self.groups[None, :]
                apart = np.where(own, np.inf, apart)
            out[block] = _mean_of_nearest(apart)
        return out

    def typicalities(
        self, features: npt.NDArray[Any], exclude: npt.NDArray[Any] | None = None
    ) -> FloatArray:
        """The typicality in [0, 1] of each row, (m,); see `distance` and `Quantiles.typicality`."""
        distances = self.distance(features, exclude)
        return np.array([self.quantiles.typicality(float(d)) for d in distances], dtype=np.float32)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The reference as plain arrays, fit for npz without pickle."""
        q = self.quantiles
        return {
            "features": self.features,
            "groups": self.groups,
            "metric": np.array(self.metric),
            "centre": self.centre,
            "scale": self.scale,
            "quantiles": np.array([q.q50, q.q95, q.q99, q.n], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The reference that `to_arrays` wrote, bit for bit."""
        q50, q95, q99, n = (float(v) for v in arrays["quantiles"])
        metric = next(m for m in get_args(Metric) if m == str(arrays["metric"]))
        return cls(
            features=arrays["features"],
            groups=arrays["groups"],
            metric=metric,
            centre=arrays["centre"],
            scale=arrays["scale"],
            quantiles=Quantiles(q50=q50, q95=q95, q99=q99, n=int(n)),
        )

    def _pairwise(self, rows: FloatArray) -> npt.NDArray[np.float64]:
        if self.metric == "cosine":
            products = rows.astype(np.float64) @ self.features.T.astype(np.float64)
            return np.asarray(np.clip(1.0 - products, 0.0, None))
        if self.metric == "l1_mean":
            return np.asarray(cdist(rows, self.features, "cityblock") / rows.shape[1])
        here, there = (rows - self.centre) / self.scale, (self.features - self.centre) / self.scale
        return np.asarray(cdist(here, there, "euclidean"))


def _mean_of_nearest(apart: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of the 3 smallest finite values a row (fewer when fewer remain, inf when none)."""
    apart = np.where(np.isfinite(apart), apart, np.inf)
    k = min(NEIGHBOURS, apart.shape[1])
    nearest = np.partition(apart, k - 1, axis=1)[:, :k]
    finite = np.isfinite(nearest)
    total = np.where(finite, nearest, 0.0).sum(axis=1)
    mean = total / np.maximum(finite.sum(axis=1), 1)
    return np.asarray(np.where(finite.any(axis=1), mean, np.inf))


def _robust_standard(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Median and floored MAD-sigma of each column; the floor keeps a constant column harmless."""
    centre = np.median(rows, axis=0)
    scale = _MAD_TO_SIGMA * np.median(np.abs(rows - centre), axis=0)
    floor = np.maximum(0.1 * rows.std(axis=0), 1e-3)
    return centre.astype(np.float32), np.maximum(scale, floor).astype(np.float32)


def _require_reference(rows: FloatArray, names: Groups, metric: str) -> None:
    if metric not in get_args(Metric):
        raise BadParameters(f"Expected a metric of {get_args(Metric)}, but got {metric!r}")
    if names.ndim != 1 or rows.ndim != names.ndim + 1 or len(rows) != len(names):
        raise ShapeError(
            f"Expected (n, p) features and (n,) groups, but got {rows.shape} and {names.shape}"
        )
    count = len(set(names.tolist()))
    if count < MIN_GROUPS:
        raise BadInput(
            f"Expected at least {MIN_GROUPS} real images to calibrate what is typical, "
            f"but got {count}; add images"
        )
    if not np.isfinite(rows).all():
        raise BadInput("Expected finite features, but got nan or inf; leave those images out")
    lengths = np.linalg.norm(rows, axis=1)
    if metric == "cosine" and np.abs(lengths - 1.0).max() > _UNIT_TOLERANCE:
        raise ShapeError(
            f"Expected rows of length 1 for the cosine, but got {lengths.min():.3f} to "
            f"{lengths.max():.3f}; divide each by its norm"
        )
