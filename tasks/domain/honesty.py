"""Gate 3: does the edit show a defect, rather than the traces of its making?

A classifier (standardised features, balanced logistic regression) tells real zones from edited ones
out of fold, folds grouped by source; AUC = P(s_synth > s_real) + P(s_synth = s_real)/2, its 95 %
interval from a bootstrap over sources (Field & Welsh, JRSS B 2007: a cluster is drawn whole).
drop = KO(x') - KO(region restored); rise = KO(x') - KO(x) on a placebo. Source: article 3.5.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.luminance import FloatArray
from tasks.domain.parameters import HonestParams

_Floats = npt.NDArray[np.float64]

MAX_FOLDS = 5
MIN_GROUPS = 4
BOOTSTRAP_DRAWS = 200


@dataclass(frozen=True, eq=False)
class ArtifactReport:
    """How well edited zones can be told from real ones by their grain; .5 is not at all.

    p_synthetic (m,) float32, out-of-fold P(synthetic) of each edited row under equal priors, in
    [0, 1]. auc and its 95 % interval are in [0, 1]. When `reason` says why nothing could be
    learned, all of these are nan and nothing is refused on them.
    """

    p_synthetic: FloatArray
    auc: float
    auc_low: float
    auc_high: float
    folds: int
    reason: str | None = None

    def is_alarming(self, params: HonestParams) -> bool:
        """Whether the whole run is to be flagged; never without an AUC."""
        return self.auc > params.alarm_auc


def real_vs_synthetic(
    features_real: FloatArray,
    groups_real: npt.NDArray[Any],
    features_synth: FloatArray,
    groups_synth: npt.NDArray[Any],
    seed: int,
) -> ArtifactReport:
    """Cross-validated traces of the edit, no source ever in both training and test.

    Args:
        features_real: (n, p) finite, zones of real images.
        groups_real: (n,) their sources.
        features_synth: (m, p) finite, edited zones; m may be 0.
        groups_synth: (m,) the sources they were edited from.
        seed: decides folds and bootstrap.

    Returns:
        A report; with fewer than 4 sources on either side one that says so.

    Raises:
        BadInput: a feature is not finite.
        ShapeError: shapes do not match.
    """
    probability = artifact_probability(
        features_real, groups_real, features_synth, groups_synth, seed
    )
    if isinstance(probability, str):
        return _empty_report(len(features_synth), probability)
    is_synth = np.repeat([False, True], [len(features_real), len(features_synth)])
    low, high = _bootstrap_interval(probability, is_synth, _coded(groups_real, groups_synth), seed)
    return ArtifactReport(
        p_synthetic=probability[is_synth].astype(np.float32),
        auc=float(weighted_auc(probability, is_synth, np.ones((1, len(probability))))[0]),
        auc_low=low,
        auc_high=high,
        folds=min(MAX_FOLDS, _fewest_sources(groups_real, groups_synth)),
    )


def artifact_probability(
    features_real: FloatArray,
    groups_real: npt.NDArray[Any],
    features_synth: FloatArray,
    groups_synth: npt.NDArray[Any],
    seed: int,
) -> _Floats | str:
    """(n + m,) out-of-fold P(synthetic) of the real rows, then of the edited ones.

    Or the reason why nothing could be learned; arguments and errors as for `real_vs_synthetic`.
    """
    _require_features(features_real, groups_real, "real")
    _require_features(features_synth, groups_synth, "edited")
    count = _fewest_sources(groups_real, groups_synth)
    if count < MIN_GROUPS:
        return f"Expected {MIN_GROUPS} sources or more among real and edited zones, but got {count}"
    if features_real.shape[1] != features_synth.shape[1]:
        raise ShapeError(
            f"Expected as many features a zone, but got {features_real.shape[1]} real and "
            f"{features_synth.shape[1]} edited; measure both alike"
        )
    features = np.concatenate([features_real, features_synth]).astype(np.float64)
    is_synth = np.repeat([False, True], [len(features_real), len(features_synth)])
    group = _coded(groups_real, groups_synth)
    probability = _out_of_fold(features, is_synth, group, min(MAX_FOLDS, count), seed)
    if probability is None:
        return "Expected real and edited zones in every fold, but one lacks them"
    return probability


def weighted_auc(
    scores: npt.NDArray[Any], is_positive: npt.NDArray[np.bool_], weights: npt.NDArray[Any]
) -> _Floats:
    """The AUC under several weightings of the rows at once; ties count half.

    Args:
        scores: (n,).
        is_positive: (n,).
        weights: (b, n), >= 0.

    Returns:
        (b,) in [0, 1]; nan where either class weighs nothing.
    """
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(np.asarray(scores)[order], return_index=True)
    ordered, positive = np.asarray(weights, np.float64)[:, order], is_positive[order]
    up = np.add.reduceat(np.where(positive, ordered, 0.0), starts, axis=1)
    down = np.add.reduceat(np.where(positive, 0.0, ordered), starts, axis=1)
    wins = (up * (np.cumsum(down, axis=1) - down / 2)).sum(axis=1)
    pairs = up.sum(axis=1) * down.sum(axis=1)
    auc = np.full(len(ordered), np.nan)
    np.divide(wins, pairs, out=auc, where=pairs > 0)
    return auc


def ablation_drop(ko_after: FloatArray, ko_restored: FloatArray) -> FloatArray:
    """(m,) KO score lost when the region is restored, in [-1, 1]; a defect loses much."""
    return np.asarray(np.asarray(ko_after) - np.asarray(ko_restored), dtype=np.float32)


def placebo_rise(ko_after: FloatArray, ko_before: FloatArray) -> FloatArray:
    """(m,) KO score that placebos gained by the edit, in [-1, 1]; an honest one gains none."""
    return np.asarray(np.asarray(ko_after) - np.asarray(ko_before), dtype=np.float32)


def honesty_reasons(
    p_synthetic: float, drop: float, rise: float, is_placebo: bool, params: HonestParams
) -> tuple[str, ...]:
    """Every reason why gate 3 refuses; none when it accepts.

    A placebo answers for its rise, any other edit for its drop. A p_synthetic of nan (nothing
    could be learned) refuses nothing; a drop or rise of nan refuses.
    """
    reasons = []
    sure = params.max_synthetic_probability
    if p_synthetic > sure:
        reasons.append(f"artifact: P(synthetic) {_up(p_synthetic)} > {sure:.2f}, its grain tells")
    if is_placebo and not rise <= params.max_placebo_rise:
        reasons.append(
            f"placebo: KO score rises by {_up(rise)} > {params.max_placebo_rise:.2f} without a "
            "defect, the edit itself shows"
        )
    if not is_placebo and not drop >= params.min_ablation_drop:
        reasons.append(
            f"ablation: KO score falls by {_down(drop)} < {params.min_ablation_drop:.2f} when the "
            "region is restored, the edit shows no defect"
        )
    return tuple(reasons)


def _fewest_sources(*groups: npt.NDArray[Any]) -> int:
    """Distinct sources on the side that has fewer."""
    return min(len(set(np.asarray(one).tolist())) for one in groups)


def _coded(*groups: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The sources of all sides, one after the other, as numbers from 0."""
    names = np.concatenate([np.asarray(one, np.str_) for one in groups])
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _out_of_fold(
    features: _Floats,
    is_synth: npt.NDArray[np.bool_],
    group: npt.NDArray[Any],
    folds: int,
    seed: int,
) -> _Floats | None:
    """(n,) P(synthetic) of each row by a model that never saw its source; None without a class."""
    probability = np.full(len(features), np.nan)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed % 2**32)
    for train, test in splitter.split(features, is_synth, group):
        if len(set(is_synth[train].tolist())) < 2:
            return None
        model = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
        )
        model.fit(features[train], is_synth[train])
        if len(test):
            probability[test] = model.predict_proba(features[test])[:, 1]
    return probability


def _bootstrap_interval(
    scores: _Floats, is_synth: npt.NDArray[np.bool_], group: npt.NDArray[Any], seed: int
) -> tuple[float, float]:
    """2.5 % and 97.5 % of the AUC when whole sources are drawn with replacement."""
    count = int(group.max()) + 1
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_DRAWS)
    aucs = weighted_auc(scores, is_synth, times[:, group])
    low, high = np.quantile(aucs[np.isfinite(aucs)], (0.025, 0.975))
    return float(low), float(high)


def _empty_report(rows: int, reason: str) -> ArtifactReport:
    nothing = np.full(rows, np.nan, dtype=np.float32)
    return ArtifactReport(nothing, math.nan, math.nan, math.nan, folds=0, reason=reason)


def _require_features(features: FloatArray, groups: npt.NDArray[Any], name: str) -> None:
    if features.ndim != 2 or len(groups) != len(features):
        raise ShapeError(
            f"Expected (n, p) {name} features and (n,) groups, but got {features.shape} and "
            f"{len(groups)} groups"
        )
    if not np.isfinite(features).all():
        raise BadInput(f"Expected finite {name} features, but got nan or inf; refuse those zones")


def _down(value: float) -> str:
    """Two digits, cut downwards so that a refused value never reads as its limit."""
    return f"{math.floor(value * 100) / 100:.2f}" if math.isfinite(value) else str(value)


def _up(value: float) -> str:
    """Two digits, cut upwards."""
    return f"{math.ceil(value * 100) / 100:.2f}" if math.isfinite(value) else str(value)
