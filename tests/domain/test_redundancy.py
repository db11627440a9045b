"""Redundant prompts: alike in words and in funnel; either alone is not enough."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from tasks.domain.errors import ShapeError
from tasks.domain.redundancy import redundant_prompts, same_funnel

A, B = np.eye(4, dtype=np.float32)[:2]
NEAR = (A + 0.1 * B) / np.linalg.norm(A + 0.1 * B)
GOOD, BAD = {"accepted": 40, "seam": 10}, {"accepted": 10, "seam": 40}


def pairs(rows, verdicts):
    names = [f"p{i}" for i in range(len(rows))]
    found = redundant_prompts(names, np.stack(rows), verdicts, 0.98)
    return [(one.first, one.second) for one in found]


def test_same_words_and_same_funnel_could_be_merged():
    assert pairs([A, NEAR, B], [GOOD, {"accepted": 38, "seam": 12}, GOOD]) == [("p0", "p1")]


def test_a_prompt_that_fares_otherwise_is_not_redundant():
    assert pairs([A, A], [GOOD, BAD]) == []


def test_most_alike_first():
    assert pairs([A, NEAR, A], [GOOD, GOOD, GOOD])[0] == ("p0", "p2")


def test_the_permutation_test_agrees_with_fishers():
    for a, b in (((8, 2), (3, 7)), ((5, 5), (6, 4)), ((12, 1), (4, 9))):
        first, second = ({"x": row[0], "y": row[1]} for row in (a, b))
        assert same_funnel(first, second) == pytest.approx(fisher_exact([a, b])[1], abs=0.05)


def test_equal_funnels_are_rarely_told_apart():
    rng, share = np.random.default_rng(5), [0.5, 0.3, 0.2]

    def drawn():
        return dict(zip("abc", map(int, rng.multinomial(30, share)), strict=True))

    told = [same_funnel(drawn(), drawn(), seed) <= 0.05 for seed in range(200)]
    assert np.mean(told) < 0.09


def test_without_verdicts_words_decide():
    assert same_funnel({}, GOOD) == 1
    assert same_funnel({"seam": 3}, {"seam": 9}) == 1


def test_lengths_must_match():
    with pytest.raises(ShapeError, match="verdicts"):
        redundant_prompts(["a"], A[None], [], 0.9)
