"""Every measure of an arm, on the whole test and on each bootstrap resample of it.

An arm is S trainings; a measure is the mean over them. Resamples are drawn from one seed for all
arms, so that subtracting two arms' draws gives the paired difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.domain.bootstrap import Resample, resamples
from tasks.domain.confidence import (
    abstention_threshold,
    aurc,
    calibration_error,
    decided,
    ko_probability,
    oddness,
    prevalence_weights,
)
from tasks.domain.detection import (
    Price,
    auroc,
    average_precision,
    cost_optimal_threshold,
    expected_cost,
    f1_at,
    precision_at,
    recall_at,
    require_scores,
    threshold_at,
)
from tasks.domain.errors import BadInput

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Validation:
    """Scores of the folds' own detectors, pooled: (m,) each."""

    scores: Array
    is_ko: Bools
    fold: NDArray[np.int64]
    groups: Sequence[str]


@dataclass(frozen=True)
class ArmScores:
    """What an arm's S detectors say of everything.

    `logits` (S, n, 2) of the test; `perturbed` (S, k) scores by name over the rows `subset` of the
    test; `ood` (S, k, 2) logits and whether each is KO, by name; `placebo` (k,) scores a seed.
    """

    logits: Array
    is_ko: Bools
    groups: Sequence[str]
    validation: Validation
    subset: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    perturbed: Mapping[str, Array] = field(default_factory=dict)
    ood: Mapping[str, tuple[Array, Bools]] = field(default_factory=dict)
    placebo: Sequence[Array] = ()

    @property
    def scores(self) -> Array:
        """(S, n) log odds of KO."""
        return np.asarray(self.logits[..., 1] - self.logits[..., 0])


@dataclass(frozen=True)
class Rules:
    """What is fixed before the test is looked at."""

    price: Price
    trained_at: float
    false_alarms: float
    max_risk: float


@dataclass(frozen=True)
class Measured:
    """Values and resampled values (r,) of each measure by name."""

    values: dict[str, float]
    draws: dict[str, Array]


def measured(arm: ArmScores, rules: Rules, count: int, seed: int) -> Measured:
    """All measures of an arm.

    Args:
        arm: its scores.
        rules: price, operating point, wanted risk.
        count: bootstrap resamples.
        seed: of the resamples, equal for arms that are to be compared.

    Raises:
        BadInput: a score is not finite, or a class is missing from the test.
    """
    require_scores(arm.scores, arm.is_ko)
    require_scores(arm.validation.scores, arm.validation.is_ko)
    fixed = _fixed(arm, rules)
    seeds = len(arm.logits)
    everything = Resample(np.arange(seeds), np.arange(len(arm.is_ko)), None)
    figures = _figures(arm, rules, fixed, everything)
    values = {name: value for name, value in figures.items() if np.isfinite(value)}
    draws = [
        _figures(arm, rules, fixed, one)
        for one in resamples(arm.groups, arm.is_ko, seeds, count, seed)
    ]
    return Measured(values, {name: np.array([draw[name] for draw in draws]) for name in values})


@dataclass(frozen=True)
class _Fixed:
    """What validation decides for the test: thresholds of score and of entropy."""

    cost_threshold: float
    max_entropy: float


def _fixed(arm: ArmScores, rules: Rules) -> _Fixed:
    """Thresholds from validation alone."""
    validation, prevalence = arm.validation, rules.price.prevalence
    probability = ko_probability(validation.scores, rules.trained_at, prevalence)
    weight = prevalence_weights(validation.is_ko, prevalence)
    return _Fixed(
        cost_optimal_threshold(validation.scores, validation.is_ko, rules.price),
        abstention_threshold(probability, validation.is_ko, weight, rules.max_risk),
    )


def _figures(arm: ArmScores, rules: Rules, fixed: _Fixed, resample: Resample) -> dict[str, float]:
    """All measures on a resample, averaged over its seeds."""
    seeds, times = np.unique(resample.seeds, return_counts=True)
    rows = [_seed_figures(arm, rules, fixed, int(seed), resample) for seed in seeds]
    return {name: float(np.average([row[name] for row in rows], weights=times)) for name in rows[0]}


def _seed_figures(
    arm: ArmScores, rules: Rules, fixed: _Fixed, seed: int, resample: Resample
) -> dict[str, float]:
    """All measures of one detector on the rows of a resample."""
    scores, is_ko = arm.scores[seed][resample.rows], arm.is_ko[resample.rows]
    probability = ko_probability(scores, rules.trained_at, rules.price.prevalence)
    weight = prevalence_weights(is_ko, rules.price.prevalence)
    threshold = threshold_at(scores, is_ko, rules.false_alarms)
    coverage, risk = decided(probability, is_ko, weight, fixed.max_entropy)
    figures = {
        "recall": recall_at(scores, is_ko, threshold),
        "precision": precision_at(scores, is_ko, threshold),
        "f1": f1_at(scores, is_ko, threshold),
        "cost": expected_cost(scores, is_ko, fixed.cost_threshold, rules.price),
        "cost_recall": recall_at(scores, is_ko, fixed.cost_threshold),
        "cost_precision": precision_at(scores, is_ko, fixed.cost_threshold),
        "cost_f1": f1_at(scores, is_ko, fixed.cost_threshold),
        "auroc": auroc(scores, is_ko),
        "ap": average_precision(scores, is_ko),
        "ece": calibration_error(probability, is_ko, weight),
        "aurc": aurc(probability, is_ko, weight),
        "coverage": coverage,
        "risk": risk,
    }
    figures |= _robustness(arm, rules, seed, resample)
    return figures | _beyond(arm, seed, resample, threshold, rules)


def _robustness(arm: ArmScores, rules: Rules, seed: int, resample: Resample) -> dict[str, float]:
    """Recall under each perturbation, its own false alarms held, and the mean over all."""
    if not arm.perturbed:
        return {}
    times = np.bincount(resample.rows, minlength=len(arm.is_ko))[arm.subset]
    rows = np.repeat(np.arange(len(arm.subset)), times)
    is_ko = arm.is_ko[arm.subset][rows]
    if is_ko.all() or not is_ko.any():
        return {f"recall_{name}": float("nan") for name in arm.perturbed} | {
            "robust_recall": float("nan")
        }
    found = {}
    for name, scores in arm.perturbed.items():
        here = scores[seed][rows]
        threshold = threshold_at(here, is_ko, rules.false_alarms)
        found[f"recall_{name}"] = recall_at(here, is_ko, threshold)
    return found | {"robust_recall": float(np.mean(list(found.values())))}


def _beyond(
    arm: ArmScores, seed: int, resample: Resample, threshold: float, rules: Rules
) -> dict[str, float]:
    """Placebos flagged, and what comes from outside: told apart, and its defects caught."""
    figures = {}
    rng = None if resample.key is None else np.random.default_rng((resample.key, seed))
    if len(arm.placebo):
        scores = _redrawn(arm.placebo[seed], rng)
        figures["placebo_alarms"] = float((scores > threshold).mean()) if len(scores) else np.nan
    logits = arm.logits[seed][resample.rows]
    inside = oddness(logits, _probability(logits, rules))
    for name, (odd_logits, odd_is_ko) in arm.ood.items():
        rows = _redrawn(np.arange(len(odd_is_ko)), rng)
        odd = odd_logits[seed][rows]
        outside = oddness(odd, _probability(odd, rules))
        for score, values in outside.items():
            both = np.concatenate([inside[score], values])
            is_odd = np.repeat([False, True], [len(logits), len(values)])
            figures[f"ood_{name}_{score}"] = auroc(both, is_odd)
        flagged = (odd[:, 1] - odd[:, 0]) > threshold
        if odd_is_ko.any():
            figures[f"recall_ood_{name}"] = float(flagged[odd_is_ko[rows]].mean())
        else:
            figures[f"alarms_ood_{name}"] = float(flagged.mean())
    return figures


def _probability(logits: Array, rules: Rules) -> Array:
    """p(KO) at the plant's prevalence of (n, 2) logits."""
    return ko_probability(logits[:, 1] - logits[:, 0], rules.trained_at, rules.price.prevalence)


def _redrawn(values: NDArray[Scalar], rng: np.random.Generator | None) -> NDArray[Scalar]:
    """The values, or as many of them with replacement."""
    return values if rng is None else values[rng.integers(len(values), size=len(values))]


def recall_by_kind(arm: ArmScores, kinds: Sequence[str], false_alarms: float) -> dict[str, float]:
    """Recall of each kind at the operating point, mean over seeds."""
    kind = np.array(kinds)
    found = {}
    for name in sorted(set(kind[arm.is_ko].tolist())):
        rows = arm.is_ko & (kind == name)
        found[name] = float(np.mean(flagged_share(arm, false_alarms)[rows]))
    return found


def flagged_share(arm: ArmScores, false_alarms: float) -> Array:
    """(n,) share of the detectors that flag each test image at the operating point."""
    if not len(arm.scores):
        raise BadInput("Expected one detector or more")
    flags = [one > threshold_at(one, arm.is_ko, false_alarms) for one in arm.scores]
    return np.asarray(np.mean(flags, axis=0), dtype=np.float64)


def cost_curve(arm: ArmScores, price: Price, ratios: Sequence[float]) -> Array:
    """E[C] on the test over the cost ratio cFN/cFP, in units of the better trivial decision.

    1 is the cost of passing, or stopping, every part, whichever is cheaper (Drummond & Holte 2006);
    the threshold is chosen on validation for each ratio.
    """
    points = []
    for ratio in ratios:
        at = Price(fn=ratio, fp=1.0, prevalence=price.prevalence)
        threshold = cost_optimal_threshold(arm.validation.scores, arm.validation.is_ko, at)
        cost = np.mean([expected_cost(one, arm.is_ko, threshold, at) for one in arm.scores])
        points.append(cost / min(ratio * at.prevalence, 1 - at.prevalence))
    return np.array(points)
