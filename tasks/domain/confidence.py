"""How far a detector's probabilities can be trusted, and when it had better not decide.

p = sigma(z + log(pi / (1 - pi)) - log(tau / (1 - tau))): the score z, learnt at KO share tau, at
prevalence pi (Elkan, IJCAI 2001; Saerens et al. 2002). ECE = sum_b n_b / n |mean y - mean p| over
bins of equal mass (Naeini et al. 2015; Nixon et al. 2019). u(p) = -sum p log2 p (article 7.2).
Selective risk at coverage c is the error rate among the c n least uncertain parts; AURC is its mean
over all coverages (Geifman & El-Yaniv 2017). Out of distribution: 1 - max p and u (Hendrycks &
Gimpel 2017), energy -log sum exp of the logits (Liu et al. 2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp, xlogy

from tasks.domain.errors import ShapeError

Array = NDArray[np.float64]
BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Bins of a reliability diagram: mean probability, share of KO, and images in each."""

    predicted: Array
    observed: Array
    count: NDArray[np.int64]


def ko_probability(scores: Array, trained_at: float, prevalence: float) -> Array:
    """p(KO) in (0, 1) of log odds learnt at one KO share, at another prevalence."""
    return np.asarray(expit(scores + logit(prevalence) - logit(trained_at)), dtype=np.float64)


def reliability(probability: Array, is_ko: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Bins of equal mass, by rank; equal probabilities may fall into neighbouring bins.

    Raises:
        ShapeError: probabilities and labels differ in number.
    """
    if probability.shape != is_ko.shape:
        raise ShapeError(f"Expected {len(is_ko)} probabilities, but got {len(probability)}")
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    return Reliability(
        predicted=np.array([probability[part].mean() for part in parts]),
        observed=np.array([is_ko[part].mean() for part in parts]),
        count=np.array([len(part) for part in parts]),
    )


def calibration_error(probability: Array, is_ko: NDArray[np.bool_], bins: int = BINS) -> float:
    """ECE in [0, 1]; 0 for calibrated probabilities, up to the noise of the bins."""
    found = reliability(probability, is_ko, bins)
    gap = np.abs(found.observed - found.predicted)
    return float((found.count * gap).sum() / found.count.sum())


def entropy_bits(probability: Array) -> Array:
    """u(p) in bits, in [0, 1]: .08 at p = .99, 1 at p = .5."""
    q = 1 - probability
    return np.asarray(-(xlogy(probability, probability) + xlogy(q, q)) / np.log(2))


def risk_coverage(probability: Array, is_ko: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Coverages 1/n, ..., 1 and the error rate among the least uncertain parts at each."""
    wrong = (probability > 0.5) != is_ko
    order = np.argsort(entropy_bits(probability), kind="stable")
    number = np.arange(1, len(order) + 1)
    return number / len(order), np.cumsum(wrong[order]) / number


def aurc(probability: Array, is_ko: NDArray[np.bool_]) -> float:
    """Mean selective risk over all coverages, lower is better."""
    return float(risk_coverage(probability, is_ko)[1].mean())


def abstention_threshold(probability: Array, is_ko: NDArray[np.bool_], max_risk: float) -> float:
    """The highest u at which the error rate of decided parts is still at most `max_risk`.

    Returns:
        -1 when no decision is sure enough: abstain always.
    """
    _, risk = risk_coverage(probability, is_ko)
    allowed = np.flatnonzero(risk <= max_risk)
    if not len(allowed):
        return -1.0
    ordered = np.sort(entropy_bits(probability))
    return float(ordered[allowed[-1]])


def decided(
    probability: Array, is_ko: NDArray[np.bool_], max_entropy: float
) -> tuple[float, float]:
    """Coverage and error rate of the parts whose u is at most the threshold; risk 0 of none."""
    kept = entropy_bits(probability) <= max_entropy
    wrong = (probability > 0.5) != is_ko
    return float(kept.mean()), float(wrong[kept].mean()) if kept.any() else 0.0


def oddness(logits: Array, probability: Array) -> dict[str, Array]:
    """Out-of-distribution scores of (n, 2) logits, higher is odder."""
    return {
        "max_probability": 1 - np.maximum(probability, 1 - probability),
        "energy": np.asarray(-logsumexp(logits, axis=1)),
        "entropy": entropy_bits(probability),
    }
