"""Information: how rare a kind is, how varied the real set is, and what the enriched one gains.

I(x) = -log2 P(kind of x);  H = -sum_k P_k log2 P_k, in bits;  gain = H_eff - H, H of the real set
and H_eff of real and accepted images together, over kinds and over clusters of embeddings.

The plug-in H of n independent rows is too low, by (K - 1) / (2 n ln 2) bits for K categories that
are all seen (Miller 1955): values here are corrected by it (Miller-Madow), and the correction is
told. It is too small where rare categories are unseen, or rows of one source are alike. Intervals:
whole sources are drawn with replacement, an image with those made from it; resampling repeats the
bias, so the draws are moved to the estimate's middle.
Clusters: KMeans with fixed seed on all windows, k = round(sqrt(n / 2)) in [2, 32] (Mardia 1979).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.domain.bootstrap import Estimate, estimate
from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.parameters import Parameters
from tasks.domain.records import Record
from tasks.domain.reference import nearest_other_distance

Floats = NDArray[np.float64]
Names = NDArray[np.str_]

MIN_CLUSTERS, MAX_CLUSTERS = 2, 32
FITTED_ROWS = 5000  # KMeans is fitted on so many at most; all are assigned
MIN_REAL = 4
_BLOCK_ROWS = 4096


class InformationParams(Parameters):
    """How the information of a version is measured, and when it warns."""

    draws: int = Field(500, ge=50, le=100_000, description="Bootstrap resamples")
    max_outside_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of the gain from outside the real domain above which it warns",
    )


class Entropy(Record):
    """Entropy of one set, in bits: corrected, with its interval; `correction` is what was added."""

    bits: Estimate
    correction: float
    categories: int
    rows: int


class Gain(Record):
    """What a set gains by its synthetic images over one division into categories.

    `outside_share` is the part of the gain that is lost when images outside the real domain are
    left out; None where nothing was gained.
    """

    over: str
    real: Entropy
    enriched: Entropy
    gain: Estimate
    outside_share: float | None
    is_alarming: bool


class Information(Record):
    """A version's information.

    `rarity` is I(x) of each kind in bits, None for one no real image shows; `limit` is the q99 of
    the real windows' cosine distances to those of other images, beyond which `outside` of the
    synthetic ones lie.
    """

    version: str
    real: int
    synthetic: int
    rarity: dict[str, float | None]
    gains: tuple[Gain, ...]
    limit: float
    outside: int


def rarity(real_kinds: Sequence[str], kinds: Sequence[str]) -> dict[str, float | None]:
    """I of each kind in bits, by its share of the real images; None for one that none shows."""
    names, counts = np.unique(np.asarray(real_kinds, dtype=np.str_), return_counts=True)
    share = dict(zip(names.tolist(), (counts / max(1, counts.sum())).tolist(), strict=True))
    found = sorted({*names.tolist(), *kinds})
    return {kind: float(-np.log2(share[kind])) if kind in share else None for kind in found}


def plug_in_entropy(counts: Floats) -> Floats:
    """(...,) bits of counts (..., K), which need not be whole; 0 where there are none."""
    counts = np.asarray(counts, dtype=np.float64)
    total = counts.sum(axis=-1, keepdims=True)
    share = counts / np.where(total > 0, total, 1.0)
    terms = np.where(share > 0, share * np.log2(np.where(share > 0, share, 1.0)), 0.0)
    return np.asarray(np.abs(terms.sum(axis=-1)))


def miller_madow(counts: Floats) -> Floats:
    """(...,) bits by which the plug-in entropy of counts (..., K) is too low, about."""
    counts = np.asarray(counts, dtype=np.float64)
    seen, total = (counts > 0).sum(axis=-1), counts.sum(axis=-1)
    return np.asarray(np.maximum(seen - 1, 0) / (2 * np.maximum(total, 1) * np.log(2)))


def cluster_count(rows: int) -> int:
    """k of the rule above."""
    return int(np.clip(round(np.sqrt(rows / 2)), MIN_CLUSTERS, MAX_CLUSTERS))


def clusters(rows: NDArray[np.float32], seed: int = 0) -> Names:
    """(n,) name of each row's cluster; one cluster where the rows do not differ.

    Args:
        rows: (n, d) unit rows, n at least 1.
    """
    from sklearn.cluster import KMeans

    rng = np.random.default_rng((seed, 31))
    picks = rng.choice(len(rows), min(FITTED_ROWS, len(rows)), replace=False)
    distinct = len(np.unique(rows[picks], axis=0))
    k = min(cluster_count(len(rows)), distinct)
    if k < 2:
        return np.zeros(len(rows), dtype=np.str_)
    fitted = KMeans(k, n_init=4, random_state=seed).fit(rows[picks].astype(np.float64))
    labels = [
        fitted.predict(rows[start : start + _BLOCK_ROWS].astype(np.float64))
        for start in range(0, len(rows), _BLOCK_ROWS)
    ]
    return np.array([f"cluster {label}" for label in np.concatenate(labels)])


def entropy_gain(
    over: str,
    real: tuple[Names, Names],
    synthetic: tuple[Names, Names],
    is_outside: NDArray[np.bool_],
    params: InformationParams,
    seed: int = 0,
) -> Gain:
    """The gain over one division.

    Args:
        over: what the division is called.
        real, synthetic: category and source of each row; a synthetic one's source is that of the
            real image it was made from.
        is_outside: (m,) whether each synthetic row lies outside the real domain.

    Raises:
        BadInput: there is no real row.
        ShapeError: the lengths differ.
    """
    (kinds, groups), (made_kinds, made_groups) = real, synthetic
    if not len(kinds):
        raise BadInput("Expected real images to measure information against, but got none")
    if len(kinds) != len(groups) or not len(made_kinds) == len(made_groups) == len(is_outside):
        raise ShapeError(
            f"Expected a source each, but got {len(groups)} for {len(kinds)} real and "
            f"{len(made_groups)} for {len(made_kinds)} synthetic rows"
        )
    names = np.unique(np.concatenate([kinds, made_kinds]))
    own, made = ((part[:, None] == names).astype(np.float64) for part in (kinds, made_kinds))
    times, made_times = cluster_draws(params.draws, seed, groups, made_groups)
    before, drawn_before = own.sum(axis=0), times @ own
    after, drawn_after = before + made.sum(axis=0), drawn_before + made_times @ made
    h, drawn_h = _corrected(before), _corrected(drawn_before)
    h_eff, drawn_h_eff = _corrected(after), _corrected(drawn_after)
    inside = before + made[~is_outside].sum(axis=0)
    gain = float(h_eff - h)
    outside = _outside_share(gain, float(_corrected(inside) - h), is_outside)
    return Gain(
        over=over,
        real=_entropy(before, centred(float(h), drawn_h)),
        enriched=_entropy(after, centred(float(h_eff), drawn_h_eff)),
        gain=centred(gain, drawn_h_eff - drawn_h),
        outside_share=outside,
        is_alarming=outside is not None and outside > params.max_outside_share,
    )


def centred(value: float, draws: Floats) -> Estimate:
    """A value with the interval of its draws, moved so that their mean is the value."""
    finite = draws[np.isfinite(draws)]
    return estimate(value, finite - finite.mean() + value if len(finite) else finite)


def information(
    version: str,
    real: tuple[Names, Names, NDArray[np.float32]],
    synthetic: tuple[Names, Names, NDArray[np.float32]],
    params: InformationParams,
) -> Information:
    """The information of a version over kinds and clusters.

    Args:
        real, synthetic: kind, source and unit window embedding (n, d) of each image; synthetic
            ones without placebos.

    Raises:
        BadInput: fewer than 4 real images: their own spread is not known.
    """
    (kinds, ids, rows), (made_kinds, made_from, made_rows) = real, synthetic
    if len(set(ids.tolist())) < MIN_REAL:
        raise BadInput(
            f"Expected {MIN_REAL} real images or more to measure information against, but got "
            f"{len(set(ids.tolist()))}"
        )
    limit = float(np.quantile(nearest_other_distance(rows, ids), 0.99))
    is_outside = nearest_distance(made_rows, rows) > limit
    found = clusters(np.concatenate([rows, made_rows]))
    own, made = found[: len(rows)], found[len(rows) :]
    return Information(
        version=version,
        real=len(rows),
        synthetic=len(made_rows),
        rarity=rarity(kinds.tolist(), made_kinds.tolist()),
        gains=(
            entropy_gain("kinds", (kinds, ids), (made_kinds, made_from), is_outside, params),
            entropy_gain("clusters", (own, ids), (made, made_from), is_outside, params),
        ),
        limit=limit,
        outside=int(is_outside.sum()),
    )


def nearest_distance(rows: NDArray[np.float32], real: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m,) cosine distance of each unit row to the nearest of the real ones (n, d), n >= 1."""
    nearest = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        nearest[block] = 1.0 - (rows[block] @ real.T).max(axis=1)
    return nearest


def _corrected(counts: Floats) -> Floats:
    """Miller-Madow's entropy."""
    return np.asarray(plug_in_entropy(counts) + miller_madow(counts))


def _entropy(counts: Floats, bits: Estimate) -> Entropy:
    return Entropy(
        bits=bits,
        correction=float(miller_madow(counts)),
        categories=int((counts > 0).sum()),
        rows=int(counts.sum()),
    )


def _outside_share(gain: float, inside: float, is_outside: NDArray[np.bool_]) -> float | None:
    """1 - what remains of the gain without the rows outside, in [0, 1]; None without a gain."""
    if gain <= 0 or not len(is_outside):
        return None
    return float(np.clip(1 - inside / gain, 0.0, 1.0))
