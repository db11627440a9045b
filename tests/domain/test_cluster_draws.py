"""Sources are drawn whole, the same one alike in every set, each once in the mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.errors import BadInput, BadParameters

NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12).map(np.array)


@given(NAMES, NAMES, st.integers(0, 1000))
def test_rows_of_one_source_are_drawn_alike_wherever_they_stand(left, right, seed):
    one, two = cluster_draws(20, seed, left, right)
    both, names = np.concatenate([one, two], axis=1), np.concatenate([left, right])
    sources, first = np.unique(names, return_index=True)
    assert (both == both[:, first[np.searchsorted(sources, names)]]).all()
    assert (both[:, first].sum(axis=1) == len(sources)).all()


def test_a_row_is_drawn_once_in_the_mean_and_with_the_spread_of_the_multinomial():
    (times,) = cluster_draws(20_000, 0, np.arange(10))
    assert times.mean(axis=0) == pytest.approx(np.ones(10), abs=0.03)
    assert times.var(axis=0) == pytest.approx(np.full(10, 0.9), abs=0.05)


def test_nothing_to_draw_is_named():
    with pytest.raises(BadInput, match="got none"):
        cluster_draws(3, 0, np.array([], str))
    with pytest.raises(BadParameters, match="1 draw or more"):
        cluster_draws(0, 0, np.array(["a"]))
