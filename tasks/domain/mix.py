"""The mix: which share of synthetic exposures the validation recommends, and what a pool needs.

One-standard-error rule (Breiman et al. 1984, 3.4.3; Hastie et al. 2009, 7.10): of all shares whose
E[C] on validation is within one standard error of the lowest, the smallest. The standard error is
that of the mean over groups of the lowest one's costs.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.detection import Price, cost_optimal_threshold, part_costs
from tasks.domain.errors import BadInput
from tasks.domain.records import Record

Array = NDArray[np.float64]


class MixPoint(Record):
    """One share's price on validation, with the standard error of its mean."""

    share: float
    cost: float
    error: float


def validation_costs(
    scores: Array, is_ko: NDArray[np.bool_], fold: NDArray[np.int64], price: Price
) -> Array:
    """(n,) cost of each validation image, at the threshold that the other folds choose.

    With one fold, at the threshold the fold itself chooses.
    """
    costs = np.zeros(len(scores))
    folds = np.unique(fold)
    for one in folds:
        here = fold == one
        others = ~here if len(folds) > 1 else here
        if is_ko[others].all() or not is_ko[others].any():
            others = np.ones_like(here)
        threshold = cost_optimal_threshold(scores[others], is_ko[others], price)
        costs[here] = part_costs(scores, is_ko, threshold, price)[here]
    return costs


def mix_point(share: float, costs: Array, groups: Sequence[str]) -> MixPoint:
    """Mean cost of a share and its standard error, groups being the independent units."""
    sums: dict[str, list[float]] = {}
    for group, cost in zip(groups, costs, strict=True):
        sums.setdefault(group, []).append(float(cost))
    mean = float(costs.mean())
    excess = np.array([sum(values) - mean * len(values) for values in sums.values()])
    n = len(excess)
    error = math.sqrt(float((excess**2).sum()) * n / max(n - 1, 1)) / len(costs)
    return MixPoint(share=share, cost=mean, error=error)


def recommended_share(points: Sequence[MixPoint]) -> float:
    """The smallest share within one standard error of the lowest cost.

    Raises:
        BadInput: there is no point, or a cost is not finite.
    """
    if not points or not all(math.isfinite(point.cost) for point in points):
        raise BadInput(f"Expected finite costs of one share or more, but got {list(points)}")
    best = min(points, key=lambda point: (point.cost, point.share))
    return min(p.share for p in points if p.cost <= best.cost + best.error)


def images_wanted(share: float, real_images: int) -> int:
    """Synthetic images that are `share` of a set with so many real ones (article 3.4)."""
    return math.ceil(share / (1 - share) * real_images)


def targets(
    share: float, real_images: int, held: Mapping[str, int], kinds: Sequence[str]
) -> dict[str, int]:
    """Images still to be accepted a kind, so that the pool is the share's size, kinds alike."""
    each = math.ceil(images_wanted(share, real_images) / max(len(kinds), 1))
    return {kind: missing for kind in kinds if (missing := each - held.get(kind, 0)) > 0}
