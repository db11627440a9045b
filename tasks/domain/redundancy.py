"""Redundant prompts: those that mean the same to the embedder and fare the same in the funnel.

Two prompts are redundant when the cosine of their text embeddings is at least a threshold and a
permutation test does not tell their verdicts apart: chi-square of the 2 x K table of verdicts,
p = (1 + #{permuted >= seen}) / (1 + permutations). A p above .05 shows no difference; it does not
show that there is none, so both counts are told and a person decides.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ShapeError
from tasks.domain.records import Record

PERMUTATIONS, LEVEL = 999, 0.05


class RedundantPair(Record):
    """Two prompts that could be merged: `kind: words` of each, their likeness, their edits."""

    first: str
    second: str
    cosine: float
    p_value: float
    edits: tuple[int, int]


def redundant_prompts(
    names: Sequence[str],
    embeddings: NDArray[np.float32],
    verdicts: Sequence[Mapping[str, int]],
    min_cosine: float,
) -> list[RedundantPair]:
    """The pairs that could be merged, most alike first.

    Args:
        names: of the prompts.
        embeddings: (p, d) unit rows of their words.
        verdicts: counts by verdict of each prompt's edits; one without any is compared by its
            words alone.
        min_cosine: above it two prompts mean the same.

    Raises:
        ShapeError: the lengths differ.
    """
    if not len(names) == len(embeddings) == len(verdicts):
        raise ShapeError(
            f"Expected an embedding and verdicts a prompt, but got {len(embeddings)} and "
            f"{len(verdicts)} for {len(names)}"
        )
    found = []
    for i, j in combinations(range(len(names)), 2):
        cosine = float(embeddings[i] @ embeddings[j])
        if cosine < min_cosine or (p := same_funnel(verdicts[i], verdicts[j])) <= LEVEL:
            continue
        edits = (sum(verdicts[i].values()), sum(verdicts[j].values()))
        found.append(
            RedundantPair(first=names[i], second=names[j], cosine=cosine, p_value=p, edits=edits)
        )
    return sorted(found, key=lambda one: -one.cosine)


def same_funnel(first: Mapping[str, int], second: Mapping[str, int], seed: int = 0) -> float:
    """p of the permutation test; 1 where one has no verdict, or both have one and the same."""
    reasons = sorted({*first, *second})
    counts = np.array([[one.get(r, 0) for r in reasons] for one in (first, second)])
    sizes, totals = counts.sum(axis=1), counts.sum(axis=0)
    if not sizes.all() or len(reasons) < 2:
        return 1.0
    rng = np.random.default_rng((seed, 37))
    drawn = rng.multivariate_hypergeometric(totals, int(sizes[0]), size=PERMUTATIONS)
    seen = _chi_square(counts[0], sizes, totals)
    return float((1 + (_chi_square(drawn, sizes, totals) >= seen - 1e-9).sum()) / (1 + len(drawn)))


def _chi_square(
    first: NDArray[np.int64], sizes: NDArray[np.int64], totals: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of the tables whose first row is given (..., K), with all margins fixed."""
    expected = totals * sizes[0] / sizes.sum()
    other = totals - expected
    squares = (first - expected) ** 2
    return np.asarray((squares / expected + squares / other).sum(axis=-1))
