"""The KO score: how much a window looks like a defect, in [0, 1].

Two classes: sigma(w.z + b), z = (e - mean)/s, s the RMS distance to the mean, by L2-regularised
logistic regression, classes balanced (Alain & Bengio, linear probes, 2016). One class, with too few
KO images: sigma(ln 19 (d - q99)/(q99 - q50)), d the mean cosine distance to the 3 nearest OK
windows (Ramaswamy, Rastogi & Shim, SIGMOD 2000), q of OK windows to other sources': .05 at q50,
.5 at q99.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from tasks.domain.calibration import NEIGHBOURS, Reference
from tasks.domain.errors import BadInput, BadParameters, ShapeError
from tasks.domain.luminance import FloatArray

Method = Literal["two_class", "one_class"]

_INVERSE_REGULARISATION = 1.0
_MIN_SPREAD = 1e-4
_BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class _Linear:
    """Weights (d,) and bias on embeddings as they are, standardisation folded in; float64."""

    weights: npt.NDArray[np.float64]
    bias: float


@dataclass(frozen=True, eq=False)
class KoProbe:
    """A fitted KO score; exactly one of `linear` (two_class) and `sound` (one_class) is set."""

    linear: _Linear | None
    sound: Reference | None

    @property
    def method(self) -> Method:
        """Which of the two scores it is; goes into every record."""
        return "two_class" if self.linear is not None else "one_class"

    @classmethod
    def fit(
        cls,
        ok_windows: FloatArray,
        ko_windows: FloatArray,
        ok_groups: npt.NDArray[Any],
        min_ko: int,
    ) -> Self:
        """A probe on real windows.

        Args:
            ok_windows: (n, d) unit rows of sound parts.
            ko_windows: (m, d) unit rows, one a KO image (see `defect_windows`); m may be 0.
            ok_groups: (n,) source id of each OK window.
            min_ko: KO images needed for two classes.

        Raises:
            BadInput: no OK window; or one class with fewer than 4 OK sources.
            BadParameters: min_ko is below 1.
            ShapeError: shapes do not match, or, with one class, rows are not of unit length.
        """
        ok = np.asarray(ok_windows, dtype=np.float32)
        ko = np.asarray(ko_windows, dtype=np.float32)
        _require_windows(ok, ko, ok_groups, min_ko)
        if len(ko) < min_ko:
            return cls(linear=None, sound=Reference.fit(ok, ok_groups, "cosine"))
        return cls(linear=_fitted_linear(ok, ko), sound=None)

    def score(self, embeddings: FloatArray, exclude: npt.NDArray[Any] | None = None) -> FloatArray:
        """The KO score of each window, (m,) float32 in [0, 1], higher is more defective.

        Args:
            embeddings: (m, d) unit rows; m may be 0.
            exclude: (m,) source of each row, whose own OK windows do not count (one class only).

        Raises:
            ShapeError: d differs from the windows the probe was fitted on.
        """
        rows = np.asarray(embeddings, dtype=np.float32)
        if self.linear is not None:
            _require_width(rows, len(self.linear.weights))
            products = (rows.astype(np.float64) * self.linear.weights).sum(axis=1)
            return np.asarray(expit(products + self.linear.bias), dtype=np.float32)
        if self.sound is None:
            raise BadInput("Expected a fitted probe, but got an empty one; use KoProbe.fit")
        q = self.sound.quantiles
        steepness = math.log(19.0) / max(q.q99 - q.q50, _MIN_SPREAD)
        distances = self.sound.distance(rows, exclude).astype(np.float64)
        return np.asarray(expit(steepness * (distances - q.q99)), dtype=np.float32)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The probe as plain arrays, fit for npz without pickle."""
        if self.linear is not None:
            return {"weights": self.linear.weights, "bias": np.array(self.linear.bias)}
        return {} if self.sound is None else self.sound.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The probe that `to_arrays` wrote, bit for bit."""
        if "weights" in arrays:
            return cls(linear=_Linear(arrays["weights"], float(arrays["bias"])), sound=None)
        return cls(linear=None, sound=Reference.from_arrays(arrays))


def defect_windows(
    windows: FloatArray, groups: npt.NDArray[Any], ok_windows: FloatArray
) -> npt.NDArray[np.int64]:
    """For each KO image its window least like the sound ones, where its defect most likely is.

    Args:
        windows: (n, d) unit rows of KO images; n may be 0.
        groups: (n,) source id of each.
        ok_windows: (m, d) unit rows of sound parts.

    Returns:
        (g,) index into windows, one a distinct group, groups sorted; of equals the first. Farthest
        by the mean cosine distance to the 3 nearest OK windows.

    Raises:
        BadInput: there is no OK window.
        ShapeError: shapes do not match.
    """
    rows, ok = np.asarray(windows, np.float32), np.asarray(ok_windows, np.float32)
    if len(ok) == 0:
        raise BadInput("Expected OK windows to compare with, but got none; add sound parts")
    if len(groups) != len(rows):
        raise ShapeError(f"Expected {len(rows)} groups, one a window, but got {len(groups)}")
    _require_width(rows, ok.shape[1])
    far = _distance_to_nearest(rows, ok)
    order = np.lexsort((np.arange(len(rows)), -far, groups))
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    return np.asarray(order[first], dtype=np.int64)


def _fitted_linear(ok: FloatArray, ko: FloatArray) -> _Linear:
    """Balanced logistic regression on centred embeddings of RMS length 1."""
    rows = np.concatenate([ok, ko]).astype(np.float64)
    is_ko = np.repeat([0, 1], [len(ok), len(ko)])
    mean = rows.mean(axis=0)
    scale = max(float(np.sqrt(((rows - mean) ** 2).sum(axis=1).mean())), _MIN_SPREAD)
    model = LogisticRegression(
        C=_INVERSE_REGULARISATION, class_weight="balanced", solver="lbfgs", max_iter=2000
    )
    model.fit((rows - mean) / scale, is_ko)
    weights = np.asarray(model.coef_[0], dtype=np.float64) / scale
    return _Linear(weights, float(model.intercept_[0] - mean @ weights))


def _distance_to_nearest(rows: FloatArray, ok: FloatArray) -> npt.NDArray[np.float64]:
    """(n,) mean cosine distance to the 3 nearest OK rows (fewer when there are fewer)."""
    k = min(NEIGHBOURS, len(ok))
    far = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        apart = 1.0 - rows[block].astype(np.float64) @ ok.T.astype(np.float64)
        far[block] = np.partition(apart, k - 1, axis=1)[:, :k].mean(axis=1)
    return far


def _require_windows(
    ok: FloatArray, ko: FloatArray, ok_groups: npt.NDArray[Any], min_ko: int
) -> None:
    if min_ko < 1:
        raise BadParameters(f"Expected min_ko of 1 or more, but got {min_ko}")
    if ok.ndim != 2 or len(ok) == 0:
        raise BadInput(f"Expected (n, d) OK windows, but got {ok.shape}; add sound parts")
    if len(ok_groups) != len(ok):
        raise ShapeError(f"Expected {len(ok)} groups, one a window, but got {len(ok_groups)}")
    _require_width(ko, ok.shape[1])


def _require_width(rows: FloatArray, width: int) -> None:
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ShapeError(
            f"Expected (n, {width}) windows, but got {rows.shape}; embed with the same model set"
        )
