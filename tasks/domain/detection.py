"""How well a score finds KO parts: ranks, the operating point, and the price of errors.

With z the score, higher more defective, and t a threshold, a part is flagged when z > t.
recall = TP / (TP + FN), precision = TP / (TP + FP), F1 their harmonic mean (article 4). At a false
alarm rate a, t is the smallest with at most floor(a n_OK) OK parts above it. AUROC is the
Mann-Whitney statistic, AP scikit-learn's. E[C] = pi cFN FNR + (1 - pi) cFP FPR (article 4), per
part, at the plant's prevalence pi, whatever the test set's own; its threshold minimises it on
validation, where Gaussian kernels stand for the few parts (Silverman 1986, 3.4.2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from tasks.domain.errors import BadInput, ShapeError

Scores = NDArray[np.float64]
IsKo = NDArray[np.bool_]


@dataclass(frozen=True)
class Price:
    """Unit costs of a missed defect and of a false alarm, and the plant's share of KO parts."""

    fn: float
    fp: float
    prevalence: float


def require_scores(scores: NDArray[np.floating], is_ko: IsKo) -> None:
    """Raise unless scores are finite, match the labels, and both classes are there.

    Raises:
        ShapeError: scores and labels differ in number.
        BadInput: a score is not finite, or a class is missing.
    """
    if scores.shape[-1] != len(is_ko):
        raise ShapeError(f"Expected {len(is_ko)} scores, one an image, but got {scores.shape[-1]}")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise BadInput(
            f"Expected finite scores, but {bad} of {scores.size} are NaN or infinite: the "
            "detector's training diverged; lower detector.learning_rate"
        )
    if is_ko.all() or not is_ko.any():
        raise BadInput(
            f"Expected OK and KO images to measure on, but got {int(is_ko.sum())} KO of "
            f"{len(is_ko)}"
        )


def threshold_at(scores: Scores, is_ko: IsKo, false_alarms: float) -> float:
    """The smallest threshold that flags at most this share of OK parts."""
    sound = np.sort(scores[~is_ko])[::-1]
    return float(sound[min(int(np.floor(false_alarms * len(sound) + 1e-9)), len(sound) - 1)])


def recall_at(scores: Scores, is_ko: IsKo, threshold: float) -> float:
    """Share of KO parts above the threshold."""
    return float((scores[is_ko] > threshold).mean())


def false_alarms_at(scores: Scores, is_ko: IsKo, threshold: float) -> float:
    """Share of OK parts above the threshold."""
    return float((scores[~is_ko] > threshold).mean())


def precision_at(scores: Scores, is_ko: IsKo, threshold: float) -> float:
    """Share of KO among the parts above the threshold; 1 when none is."""
    flagged = scores > threshold
    return float(is_ko[flagged].mean()) if flagged.any() else 1.0


def f1_at(scores: Scores, is_ko: IsKo, threshold: float) -> float:
    """2 TP / (2 TP + FP + FN)."""
    flagged = scores > threshold
    hits = int((flagged & is_ko).sum())
    return 2 * hits / (int(flagged.sum()) + int(is_ko.sum()))


def auroc(scores: Scores, is_ko: IsKo) -> float:
    """Probability that a KO part scores above an OK part, ties one half.

    By ranks, (R - m (m + 1) / 2) / (m n), a tenth of scikit-learn's time a resample.
    """
    positives = int(is_ko.sum())
    excess = rankdata(scores)[is_ko].sum() - positives * (positives + 1) / 2
    return float(excess / (positives * (len(is_ko) - positives)))


def average_precision(scores: Scores, is_ko: IsKo) -> float:
    """Mean precision over recall steps."""
    return float(average_precision_score(is_ko, scores))


def expected_cost(scores: Scores, is_ko: IsKo, threshold: float, price: Price) -> float:
    """E[C] per part at a threshold."""
    missed = 1.0 - recall_at(scores, is_ko, threshold)
    alarms = false_alarms_at(scores, is_ko, threshold)
    return price.prevalence * price.fn * missed + (1 - price.prevalence) * price.fp * alarms


def cost_optimal_threshold(scores: Scores, is_ko: IsKo, price: Price) -> float:
    """The threshold of least E[C], the two classes' distributions smoothed by Gaussian kernels.

    A few KO parts end abruptly at their lowest score, and a threshold just below it would miss the
    next part that scores a little lower; a kernel (Silverman's rule) keeps the distance that so few
    parts ask for, and vanishes with their number. Of equals the lowest.
    """
    ko, ok = scores[is_ko], scores[~is_ko]
    width_ko, width_ok = _bandwidth(ko), _bandwidth(ok)
    values = np.unique(scores)
    reach = max(width_ko, width_ok)
    below, above = values[0] - reach * np.arange(4, 0, -1), values[-1] + reach * np.arange(1, 5)
    edges = np.concatenate([below, (values[:-1] + values[1:]) / 2, above])
    missed = ndtr((edges[:, None] - ko) / width_ko).mean(axis=1)
    alarms = ndtr((ok - edges[:, None]) / width_ok).mean(axis=1)
    cost = price.prevalence * price.fn * missed + (1 - price.prevalence) * price.fp * alarms
    return float(edges[int(np.argmin(cost))])


def _bandwidth(values: Scores) -> float:
    """Silverman's rule, .9 min(s, IQR / 1.349) n^(-1/5); tiny where all values are equal."""
    spread = float(np.std(values))
    low, high = np.percentile(values, [25, 75])
    robust = (high - low) / 1.349
    width = 0.9 * (min(spread, robust) if robust > 0 else spread) * len(values) ** -0.2
    return max(float(width), 1e-6)


def part_costs(
    scores: Scores, is_ko: IsKo, threshold: float | Scores, price: Price
) -> NDArray[np.float64]:
    """(n,) cost of each part, weighted so that their mean is E[C]."""
    ko_share = is_ko.mean()
    flagged = scores > threshold
    missed = (is_ko & ~flagged) * price.fn * price.prevalence / ko_share
    alarms = (~is_ko & flagged) * price.fp * (1 - price.prevalence) / (1 - ko_share)
    return np.asarray(missed + alarms, dtype=np.float64)
