"""The bootstrap: textbook widths, whole groups, paired draws, and no difference where none is."""

import numpy as np
import pytest

from tasks.domain.bootstrap import estimate, resamples


def test_the_interval_of_a_mean_is_the_textbooks():
    values = np.random.default_rng(0).normal(3, 2, 400)
    groups, is_ko = [str(i) for i in range(400)], np.zeros(400, bool)
    draws = [values[one.rows].mean() for one in resamples(groups, is_ko, 1, 2000, 0)]
    found = estimate(values.mean(), np.array(draws))
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_groups_are_drawn_whole_and_classes_keep_their_numbers():
    groups = [f"part{i // 4}" for i in range(40)]
    is_ko = np.arange(40) < 8
    for one in resamples(groups, is_ko, 3, 50, 1):
        counts = np.bincount(one.rows, minlength=40).reshape(10, 4)
        assert (counts == counts[:, :1]).all()
        assert is_ko[one.rows].sum() == 8
        assert len(one.seeds) == 3


def test_images_of_one_part_make_the_interval_wider():
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(0, 1, 30), 10)
    is_ko = np.zeros(300, bool)

    def width(groups):
        draws = [values[one.rows].mean() for one in resamples(groups, is_ko, 1, 600, 0)]
        return np.std(draws)

    together = width([str(i // 10) for i in range(300)])
    assert together > 2.5 * width([str(i) for i in range(300)])
    assert together == pytest.approx(values.std() / np.sqrt(30), rel=0.15)


def test_equal_seeds_draw_alike_so_that_differences_are_paired():
    groups, is_ko = [str(i) for i in range(50)], np.arange(50) < 10
    first, second = (list(resamples(groups, is_ko, 5, 20, 9)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.rows, b.rows)
        assert np.array_equal(a.seeds, b.seeds)
    other = next(resamples(groups, is_ko, 5, 1, 10))
    assert not np.array_equal(other.rows, first[0].rows)


def test_draws_without_a_value_are_left_out():
    found = estimate(0.5, np.array([0.4, np.nan, 0.6]))
    assert (found.low, found.high) == (pytest.approx(0.405), pytest.approx(0.595))
    assert np.isnan(estimate(0.5, np.array([np.nan])).low)


def test_every_draw_holds_both_classes_however_few_the_groups():
    groups, is_ko = ["a", "a", "b", "b", "c"], np.array([False, True, False, True, True])
    for one in resamples(groups, is_ko, 1, 200, 0):
        assert 0 < is_ko[one.rows].sum() < len(one.rows)
