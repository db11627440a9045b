"""How far a detector's probabilities can be trusted, and when it had better not decide.

p = sigma(z + log(pi / (1 - pi)) - log(tau / (1 - tau))): the score z, learnt at KO share tau, at
prevalence pi (Elkan, IJCAI 2001; Saerens et al. 2002). ECE = sum_b m_b |mean y - mean p| over bins
of equal mass m_b (Naeini et al. 2015; Nixon et al. 2019). u(p) = -sum p log2 p (article 7.2).
Selective risk at coverage c is the error rate among the share c of least uncertain parts; AURC is
its mean over all coverages (Geifman & El-Yaniv 2017). Parts are weighted to the plant's prevalence,
whatever the test's own share of KO. Out of distribution: 1 - max p and u (Hendrycks & Gimpel 2017),
energy -log sum exp of the logits (Liu et al. 2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp, xlogy

from tasks.domain.errors import ShapeError

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Bins of a reliability diagram: mean probability, share of KO, and mass of each; sums to 1."""

    predicted: Array
    observed: Array
    mass: Array


def prevalence_weights(is_ko: Bools, prevalence: float) -> Array:
    """(n,) weights, summing to 1, that give KO parts the plant's share of the whole."""
    share = is_ko.mean()
    weight = np.where(is_ko, prevalence / share, (1 - prevalence) / (1 - share))
    return np.asarray(weight / len(is_ko), dtype=np.float64)


def ko_probability(scores: Array, trained_at: float, prevalence: float) -> Array:
    """p(KO) in (0, 1) of log odds learnt at one KO share, at another prevalence."""
    return np.asarray(expit(scores + logit(prevalence) - logit(trained_at)), dtype=np.float64)


def reliability(probability: Array, is_ko: Bools, weight: Array, bins: int = BINS) -> Reliability:
    """Bins of equal mass, by rank; equal probabilities may fall into neighbouring bins.

    Args:
        probability, is_ko, weight: (n,); an image belongs to the bin that holds its middle.

    Raises:
        ShapeError: probabilities and labels differ in number.
    """
    if not probability.shape == is_ko.shape == weight.shape:
        raise ShapeError(f"Expected {len(is_ko)} probabilities, but got {len(probability)}")
    order = np.argsort(probability, kind="stable")
    share = weight[order] / weight.sum()
    place = np.minimum(np.floor(bins * (np.cumsum(share) - share / 2)), bins - 1).astype(np.int64)
    mass = np.bincount(place, share, bins)
    filled = mass > 0
    predicted = np.bincount(place, share * probability[order], bins)[filled] / mass[filled]
    observed = np.bincount(place, share * is_ko[order], bins)[filled] / mass[filled]
    return Reliability(predicted, observed, np.asarray(mass[filled], dtype=np.float64))


def calibration_error(probability: Array, is_ko: Bools, weight: Array, bins: int = BINS) -> float:
    """ECE in [0, 1]; 0 for calibrated probabilities, up to the noise of the bins."""
    found = reliability(probability, is_ko, weight, bins)
    return float((found.mass * np.abs(found.observed - found.predicted)).sum())


def entropy_bits(probability: Array) -> Array:
    """u(p) in bits, in [0, 1]: .08 at p = .99, 1 at p = .5."""
    q = 1 - probability
    return np.asarray(-(xlogy(probability, probability) + xlogy(q, q)) / np.log(2))


def risk_coverage(probability: Array, is_ko: Bools, weight: Array) -> tuple[Array, Array]:
    """(n,) coverages up to 1, and the error rate among the least uncertain parts at each."""
    wrong = (probability > 0.5) != is_ko
    order = np.argsort(entropy_bits(probability), kind="stable")
    mass = np.cumsum(weight[order])
    return mass / mass[-1], np.cumsum((wrong * weight)[order]) / mass


def aurc(probability: Array, is_ko: Bools, weight: Array) -> float:
    """Mean selective risk over all coverages, lower is better."""
    coverage, risk = risk_coverage(probability, is_ko, weight)
    return float((risk * np.diff(coverage, prepend=0.0)).sum())


def abstention_threshold(probability: Array, is_ko: Bools, weight: Array, max_risk: float) -> float:
    """The highest u at which the error rate of decided parts is still at most `max_risk`.

    Returns:
        -1 when no decision is sure enough: abstain always.
    """
    _, risk = risk_coverage(probability, is_ko, weight)
    allowed = np.flatnonzero(risk <= max_risk)
    if not len(allowed):
        return -1.0
    return float(np.sort(entropy_bits(probability))[allowed[-1]])


def decided(
    probability: Array, is_ko: Bools, weight: Array, max_entropy: float
) -> tuple[float, float]:
    """Coverage and error rate of the parts whose u is at most the threshold; risk 0 of none."""
    kept = entropy_bits(probability) <= max_entropy
    wrong = (probability > 0.5) != is_ko
    mass = weight[kept].sum()
    risk = (weight * wrong)[kept].sum() / mass if mass > 0 else 0.0
    return float(mass / weight.sum()), float(risk)


def oddness(logits: Array, probability: Array) -> dict[str, Array]:
    """Out-of-distribution scores of (n, 2) logits, higher is odder."""
    return {
        "max_probability": 1 - np.maximum(probability, 1 - probability),
        "energy": np.asarray(-logsumexp(logits, axis=1)),
        "entropy": entropy_bits(probability),
    }
