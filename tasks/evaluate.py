"""Evaluate: an arm's scores become its figures, with resamples kept for paired differences."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.confidence import (
    ko_probability,
    prevalence_weights,
    reliability,
    risk_coverage,
)
from tasks.domain.detection import Price, require_scores
from tasks.domain.measuring import (
    ArmScores,
    Rules,
    Validation,
    cost_curve,
    flagged_share,
    measured,
    recall_by_kind,
)
from tasks.domain.mix import MixPoint, mix_point, validation_costs
from tasks.domain.records import Record, Ref, RunContext
from tasks.domain.trial_records import ScoredSet
from tasks.stage import stage
from tasks.store.files import ContentStore
from tasks.views import Arrays, stacked_views

RATIOS = tuple(float(one) for one in np.logspace(0, 3, 25).round(3))


class EvaluationRules(Record):
    """What is fixed before the test is looked at."""

    cost_fn: float
    cost_fp: float
    prevalence: float
    trained_at: float
    false_alarms: float
    max_risk: float
    resamples: int
    seed: int

    @property
    def price(self) -> Price:
        """The costs and the plant's prevalence."""
        return Price(fn=self.cost_fn, fp=self.cost_fp, prevalence=self.prevalence)


class Evaluation(Record):
    """An arm's figures: `draws` holds the resampled values of each measure and the curves."""

    values: dict[str, float]
    draws: Ref
    by_kind: dict[str, float]


@stage(version=2, run_name="price {scores[0].sha256:.8} +")
def price_share(
    scores: Sequence[Ref],
    share: float,
    validation: Sequence[Ref],
    rules: EvaluationRules,
    context: RunContext,
) -> MixPoint:
    """E[C] of one share on validation, with its standard error."""
    store = ContentStore(context.store_uri)
    pooled = _validation(store, scores, stacked_views(store, validation, pixels=False))
    require_scores(pooled.scores, pooled.is_ko)
    costs = validation_costs(pooled.scores, pooled.is_ko, pooled.fold, rules.price)
    return mix_point(share, costs, pooled.groups)


@stage(version=2, run_name="evaluate {scores[0].sha256:.8} +")
def evaluate_arm(
    scores: Sequence[Ref],
    sets: Sequence[ScoredSet],
    rules: EvaluationRules,
    context: RunContext,
) -> Evaluation:
    """All measures of an arm from its seeds' scores.

    Args:
        scores: of `score_detector`, one a seed.
        sets: the sets that were scored, `validation` and `test` among them.
        rules: costs, operating point, resamples.

    Raises:
        BadInput: a class is missing, or a score is not finite.
    """
    store = ContentStore(context.store_uri)
    labels = {one.name: stacked_views(store, one.views, pixels=False) for one in sets}
    arm = _arm(store, scores, labels)
    fixed = Rules(rules.price, rules.trained_at, rules.false_alarms, rules.max_risk)
    found = measured(arm, fixed, rules.resamples, rules.seed)
    draws = {f"draws.{name}": values for name, values in found.draws.items()}
    kinds = [str(kind) for kind in labels["test"]["kind"]]
    return Evaluation(
        values=found.values,
        draws=store.put_arrays(draws | _curves(arm, rules)),
        by_kind=recall_by_kind(arm, kinds, rules.false_alarms),
    )


def _curves(arm: ArmScores, rules: EvaluationRules) -> dict[str, NDArray[np.generic]]:
    """What the report draws: reliability, cost, risk over coverage, ROC, and who is flagged."""
    pooled, is_ko = arm.scores.ravel(), np.tile(arm.is_ko, len(arm.scores))
    probability = ko_probability(pooled, rules.trained_at, rules.prevalence)
    weight = prevalence_weights(is_ko, rules.prevalence)
    bins = reliability(probability, is_ko, weight)
    coverage, risk = risk_coverage(probability, is_ko, weight)
    thin = np.linspace(0, len(coverage) - 1, 200).astype(int)
    alarms = np.linspace(0, 1, 201)
    roc = [_recall_at_alarms(one, arm.is_ko, alarms) for one in arm.scores]
    return {
        "reliability.predicted": bins.predicted,
        "reliability.observed": bins.observed,
        "cost.ratio": np.array(RATIOS),
        "cost.value": cost_curve(arm, rules.price, RATIOS),
        "coverage": coverage[thin],
        "risk": risk[thin],
        "roc.alarms": alarms,
        "roc.recall": np.mean(roc, axis=0),
        "flagged": flagged_share(arm, rules.false_alarms),
    }


def _recall_at_alarms(
    scores: NDArray[np.float64], is_ko: NDArray[np.bool_], alarms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Recall at each share of false alarms."""
    sound = np.sort(scores[~is_ko])[::-1]
    index = np.minimum(np.floor(alarms * len(sound) + 1e-9).astype(int), len(sound) - 1)
    thresholds = np.where(alarms >= 1, -np.inf, sound[index])
    hits = np.sort(scores[is_ko])
    return np.asarray(1 - np.searchsorted(hits, thresholds, side="right") / len(hits))


def _arm(store: ContentStore, refs: Sequence[Ref], labels: dict[str, Arrays]) -> ArmScores:
    """The scores of an arm's seeds, side by side."""
    parts = [store.get_arrays(ref) for ref in refs]
    test = labels["test"]
    subset = labels.get("perturbed:subset")
    place = {str(one): row for row, one in enumerate(test["id"])}
    names = [name for name in parts[0] if not name.endswith(".id")]
    return ArmScores(
        logits=np.stack([part["test"] for part in parts]),
        is_ko=test["is_ko"],
        groups=[str(group) for group in test["group"]],
        validation=_validation(store, refs, labels["validation"]),
        subset=np.array([place[str(i)] for i in subset["id"]] if subset else [], dtype=np.int64),
        perturbed={
            name.removeprefix("perturbed:"): np.stack(
                [part[name][:, 1] - part[name][:, 0] for part in parts]
            )
            for name in names
            if name.startswith("perturbed:") and name != "perturbed:subset"
        },
        ood={
            name.removeprefix("ood:"): (
                np.stack([part[name] for part in parts]),
                labels[name]["is_ko"],
            )
            for name in names
            if name.startswith("ood:")
        },
        placebo=[part["placebo"][:, 1] - part["placebo"][:, 0] for part in parts]
        if "placebo" in names
        else (),
    )


def _validation(store: ContentStore, refs: Sequence[Ref], labels: Arrays) -> Validation:
    """The folds' own scores, pooled, with their labels."""
    place = {str(one): row for row, one in enumerate(labels["id"])}
    scores, rows = [], []
    for ref in refs:
        part = store.get_arrays(ref)
        scores.append(part["validation"][:, 1] - part["validation"][:, 0])
        rows += [place[str(one)] for one in part["validation.id"]]
    return Validation(
        scores=np.concatenate(scores),
        is_ko=labels["is_ko"][rows],
        fold=labels["fold"][rows],
        groups=[str(group) for group in labels["group"][rows]],
    )
