"""Every measure of an arm against a direct computation, and arms that do not differ."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from tasks.domain.bootstrap import estimate
from tasks.domain.detection import Price
from tasks.domain.errors import BadInput
from tasks.domain.measuring import (
    ArmScores,
    Rules,
    Validation,
    cost_curve,
    flagged_share,
    measured,
    recall_by_kind,
)


def covers_zero(one) -> bool:
    return one.low <= 0 <= one.high


RULES = Rules(Price(100, 1, 0.02), trained_at=0.5, false_alarms=0.05, max_risk=0.05)
N, KO, SEEDS = 300, 60, 3
IS_KO = np.arange(N) < KO
GROUPS = [str(i) for i in range(N)]


def arm(seed: int, apart: float = 2.0, **more) -> ArmScores:
    """Three detectors with normal scores, exact log odds of N(apart, 1) over N(0, 1)."""
    rng = np.random.default_rng(seed)

    def logits(is_ko):
        x = rng.normal(is_ko * apart, 1.0)
        score = apart * x - apart**2 / 2
        return np.stack([np.zeros_like(score), score], axis=-1)

    valid_ko = np.arange(200) < 30
    return ArmScores(
        logits=np.stack([logits(IS_KO) for _ in range(SEEDS)]),
        is_ko=IS_KO,
        groups=GROUPS,
        validation=Validation(
            scores=logits(valid_ko)[:, 1], is_ko=valid_ko,
            fold=np.arange(200) % SEEDS, groups=[str(i) for i in range(200)],
        ),
        **more,
    )  # fmt: skip


def test_values_are_means_over_seeds_of_the_usual_figures():
    one = arm(0)
    values = measured(one, RULES, 5, 0).values
    assert values["auroc"] == pytest.approx(np.mean([roc_auc_score(IS_KO, s) for s in one.scores]))
    ap = np.mean([average_precision_score(IS_KO, s) for s in one.scores])
    assert values["ap"] == pytest.approx(ap)
    recalls = [(s[:KO] > np.sort(s[KO:])[::-1][12]).mean() for s in one.scores]
    assert values["recall"] == pytest.approx(np.mean(recalls))
    assert values["ece"] < 0.08, "exact log odds are calibrated at the plant's prevalence"
    probability = expit(one.scores + np.log(0.2 / 0.8))
    assert np.mean([brier_score_loss(IS_KO, p) for p in probability]) < 0.1


def test_two_arms_of_one_quality_do_not_differ_and_a_better_one_does():
    first = [measured(arm(seed), RULES, 200, 7) for seed in range(12)]
    second = [measured(arm(100 + seed), RULES, 200, 7) for seed in range(12)]
    better = measured(arm(5, apart=3.5), RULES, 200, 7)

    def gain(a, b, name):
        return estimate(a.values[name] - b.values[name], a.draws[name] - b.draws[name])

    for name in ("recall", "auroc", "cost"):
        covered = [covers_zero(gain(a, b, name)) for a, b in zip(first, second, strict=True)]
        assert np.mean(covered) >= 0.75, name
    assert all(gain(better, one, "recall").low > 0 for one in first)
    assert all(gain(better, one, "auroc").low > 0 for one in first)


def test_pairing_narrows_the_interval_of_equal_arms_to_nothing():
    one, same = measured(arm(3), RULES, 100, 1), measured(arm(3), RULES, 100, 1)
    for name, draws in one.draws.items():
        assert np.array_equal(draws, same.draws[name]), name


def test_robustness_placebos_and_what_is_from_outside():
    subset = np.r_[0:30, 60:200]
    base = arm(1)
    clean = base.scores[:, subset]
    odd = np.zeros((SEEDS, 40, 2))
    odd_ko = np.stack([np.zeros((SEEDS, 20)), np.full((SEEDS, 20), 9.0)], axis=-1)
    one = ArmScores(
        **{**vars(base), "subset": subset, "perturbed": {"blur:0": clean, "blur:1": clean * 0},
           "ood": {"night": (odd, np.zeros(40, bool)), "crater": (odd_ko, np.ones(20, bool))},
           "placebo": [np.array([-9.0, 9.0])] * SEEDS},
    )  # fmt: skip
    values = measured(one, RULES, 20, 0).values
    assert values["recall_blur:1"] == 0.0
    assert values["recall_blur:0"] > 0.3
    assert values["robust_recall"] == pytest.approx(values["recall_blur:0"] / 2)
    assert values["placebo_alarms"] == 0.5
    assert values["recall_ood_crater"] == 1.0
    assert values["alarms_ood_night"] in {0.0, 1.0}
    assert values["ood_night_entropy"] > 0.6, "even odds are odder than most parts"


def test_kinds_and_flags_and_the_price_curve():
    one = arm(2)
    kinds = ["crack"] * 20 + ["pore"] * 40 + ["sound"] * (N - KO)
    by_kind = recall_by_kind(one, kinds, 0.05)
    assert set(by_kind) == {"crack", "pore"}
    overall = measured(one, RULES, 2, 0).values["recall"]
    assert (by_kind["crack"] + 2 * by_kind["pore"]) / 3 == pytest.approx(overall)
    assert flagged_share(one, 0.05)[KO:].mean() <= 0.05
    curve = cost_curve(one, RULES.price, [1.0, 49.0, 1000.0])
    assert curve.min() > 0
    assert curve[1] < 0.7, "where both errors weigh alike a good detector saves most"
    assert curve.max() < 1.3


def test_scores_that_diverged_are_refused():
    bad = arm(0)
    bad.logits[0, 3, 1] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        measured(bad, RULES, 2, 0)
