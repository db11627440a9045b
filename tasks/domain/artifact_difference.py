"""Whether one set of edits shows its making less than another, on the same real zones.

AUC_a - AUC_b, each of an out-of-fold classifier of real against edited zones (see honesty.py);
its interval by a bootstrap over sources that draws the same ones for real zones, a and b (paired:
Efron & Tibshirani 1993, ch. 8). The classifiers are not fitted anew for each draw: the interval is
that of these two classifiers' AUC over sources.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.domain.bootstrap import Estimate, estimate
from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.honesty import artifact_probability, weighted_auc
from tasks.domain.luminance import FloatArray

_Names = npt.NDArray[Any]
_NOTHING = Estimate(value=float("nan"), low=float("nan"), high=float("nan"))


def auc_difference(
    features_real: FloatArray,
    groups_real: _Names,
    features_a: FloatArray,
    groups_a: _Names,
    features_b: FloatArray,
    groups_b: _Names,
    draws: int,
    seed: int,
) -> tuple[Estimate, Estimate, Estimate]:
    """The AUC of real against a, of real against b, and their paired difference.

    Args:
        features_real: (n, p) finite, zones of real images; groups_real (n,) their sources.
        features_a, features_b: (m, p) and (l, p) finite, edited zones; groups_a and groups_b the
            sources they were edited from.
        draws: resamples, 1 or more.
        seed: decides folds and draws.

    Returns:
        AUC of a, of b, and a - b: below 0 where a is the harder to tell from real zones. All are
        nan where either has fewer than 4 sources on a side, or a fold lacks a class.

    Raises:
        BadInput: a feature is not finite.
        ShapeError: shapes do not match.
    """
    a = artifact_probability(features_real, groups_real, features_a, groups_a, seed)
    b = artifact_probability(features_real, groups_real, features_b, groups_b, seed)
    if isinstance(a, str) or isinstance(b, str):
        return _NOTHING, _NOTHING, _NOTHING
    real, times_a, times_b = cluster_draws(draws, seed, groups_real, groups_a, groups_b)
    value_a, drawn_a = _aucs(a, np.concatenate([real, times_a], axis=1), real.shape[1])
    value_b, drawn_b = _aucs(b, np.concatenate([real, times_b], axis=1), real.shape[1])
    difference = estimate(value_a - value_b, drawn_a - drawn_b)
    return estimate(value_a, drawn_a), estimate(value_b, drawn_b), difference


def _aucs(
    probability: npt.NDArray[np.float64], times: npt.NDArray[np.float64], real: int
) -> tuple[float, npt.NDArray[np.float64]]:
    """The AUC of rows of which the first `real` are real, and (b,) those of the draws."""
    is_edited = np.arange(len(probability)) >= real
    once = np.ones((1, len(probability)))
    return float(weighted_auc(probability, is_edited, once)[0]), weighted_auc(
        probability, is_edited, times
    )
