"""Copies are found however posed, shifted or lit; look-alikes and what was not edited are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.memorisation import memorised_share, wilson_interval
from tasks.domain.window import feather

SIDE = 64
ZONE = np.zeros((SIDE, SIDE), bool)
ZONE[20:46, 16:50] = True
SAME = np.ones((1, 1), np.float32)  # embeddings that agree, so that pixels decide


def surface(seed: int, blur: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.arange(SIDE)[:, None]
    shade = 120 + 40 * np.cos((rows - SIDE / 2) / 20) + rng.uniform(-20, 20)
    grain = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), blur)
    return np.asarray(shade + 8 * grain / grain.std(), np.float32)


def cracked(seed: int, on: np.ndarray) -> np.ndarray:
    """A dark crack of one style on a surface, across the zone."""
    rng = np.random.default_rng(seed)
    cols = np.arange(18, 48)
    walk = 33 + np.cumsum(rng.normal(0, 0.8, len(cols)))
    line = np.zeros((SIDE, SIDE))
    line[np.clip(walk, 22, 43).astype(int), cols] = 1
    dark = ndimage.gaussian_filter(line, 1.0)
    return np.asarray(on - 90 * dark / dark.max(), np.float32)


def nearest(window: np.ndarray, train: list[np.ndarray], zone: np.ndarray = ZONE) -> float:
    ones = np.ones((len(train), 1), np.float32)
    found = memorised_share(SAME, window[None], zone[None], ones, np.stack(train))
    return float(found.similarity[0])


TRAIN = [cracked(s, surface(s)) for s in range(6)]


@pytest.mark.parametrize(
    "disguise",
    [
        pytest.param(lambda w: w, id="exact"),
        pytest.param(lambda w: w[:, ::-1], id="mirrored"),
        pytest.param(lambda w: np.rot90(w).T, id="mirrored-upright"),
        pytest.param(lambda w: np.rot90(w, 3), id="turned"),
        pytest.param(lambda w: np.roll(w, (3, -4), (0, 1)), id="shifted"),
        pytest.param(lambda w: 0.7 * w + 60, id="brighter"),
        pytest.param(lambda w: np.roll(0.8 * w[::-1], (-4, 2), (0, 1)), id="all-of-it"),
        pytest.param(
            lambda w: w + np.random.default_rng(9).normal(0, 1, w.shape).astype("f4"), id="noisy"
        ),
    ],
)
def test_a_copy_is_found_in_any_disguise(disguise):
    window = np.ascontiguousarray(disguise(TRAIN[4]))
    ones = np.ones((len(TRAIN), 1), np.float32)
    found = memorised_share(SAME, window[None], ZONE[None], ones, np.stack(TRAIN))
    assert found.share == 1
    assert found.index[0] == 4
    assert found.similarity[0] > 0.98


@pytest.mark.parametrize("rows", [(15, 52), (26, 40)], ids=["wide", "thin"])
def test_a_copied_zone_is_found_on_another_surface(rows):
    zone = np.zeros_like(ZONE)
    zone[slice(*rows), 14:52] = True
    weight = feather(zone, 2.0)
    for seed in range(70, 76):
        window = surface(seed) * (1 - weight) + TRAIN[2] * weight
        assert nearest(window, TRAIN, zone) > 0.98
        assert nearest(window, TRAIN[:2] + TRAIN[3:], zone) < 0.9


def test_another_crack_of_the_style_and_another_surface_are_no_copies():
    for seed in range(20, 32):
        assert nearest(cracked(seed, surface(seed)), TRAIN) < 0.9
        assert nearest(surface(seed, blur=2.5), TRAIN) < 0.9


def test_what_surrounds_the_zone_does_not_count():
    # The source of the candidate is a training window: outside the zone the two are equal.
    window = surface(3)
    source = window.copy()
    thin = np.zeros_like(ZONE)
    thin[30:37, 10:54] = True
    window[thin] = cracked(50, surface(50))[thin]
    box_r = np.corrcoef(window[4:60, 4:60].ravel(), source[4:60, 4:60].ravel())[0, 1]
    assert nearest(window, [source], thin) < 0.8 < box_r


def test_a_window_of_its_own_source_is_passed_over():
    window = surface(3)
    train = np.stack([window, TRAIN[0]])
    ones = np.ones((2, 1), np.float32)
    args = (SAME, window[None], ZONE[None], ones, train)
    assert memorised_share(*args).share == 1
    names = {"sources": np.array(["a"]), "train_sources": np.array(["a", "b"])}
    apart = memorised_share(*args, **names)
    assert (apart.share, apart.index[0]) == (0, 1)
    alone = memorised_share(*args, sources=np.array(["a"]), train_sources=np.array(["a", "a"]))
    assert (alone.similarity[0], alone.index[0]) == (-1, -1)


def test_both_likenesses_are_needed():
    copy = TRAIN[1][None]
    away = np.array([[np.cos(0.3), np.sin(0.3)]], np.float32)
    here = np.array([[1.0, 0.0]], np.float32)
    found = memorised_share(away, copy, ZONE[None], here, copy)
    assert found.share == 0
    assert found.similarity[0] == pytest.approx(np.cos(0.3))


def test_the_nearest_is_that_of_all_windows_compared_one_by_one():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(7, 3)) + 4 * np.eye(3)[0]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    window, train = cracked(3, surface(90))[None], np.stack(TRAIN)
    found = memorised_share(rows[:1], window, ZONE[None], rows[1:], train)
    each = [
        memorised_share(rows[:1], window, ZONE[None], rows[i + 1 : i + 2], train[i : i + 1])
        for i in range(6)
    ]
    assert found.similarity[0] == max(one.similarity[0] for one in each)
    assert found.index[0] == np.argmax([one.similarity[0] for one in each])


def test_the_share_counts_candidates_and_has_an_interval():
    windows = np.stack([TRAIN[0], cracked(60, surface(60)), cracked(61, surface(61)), TRAIN[5]])
    zones, train = np.repeat(ZONE[None], 4, axis=0), np.stack(TRAIN)
    found = memorised_share(np.ones((4, 1)), windows, zones, np.ones((6, 1)), train)
    assert found.share == 0.5
    assert (found.low, found.high) == pytest.approx((0.150, 0.850), abs=1e-3)  # Wilson, 2 of 4
    assert found.estimate.value == 0.5
    none = memorised_share(np.ones((4, 1)), windows, zones, np.ones((0, 1)), train[:0])
    assert (none.share, set(none.index.tolist())) == (0, {-1})


def test_flat_windows_resemble_nothing():
    flat = np.full((SIDE, SIDE), 90.0, np.float32)
    assert nearest(flat, [flat, TRAIN[0]]) == 0
    assert nearest(TRAIN[0], [flat]) == 0


@given(st.integers(1, 400), st.data())
def test_wilsons_ends_are_where_the_score_test_just_refuses(count, data):
    hits = data.draw(st.integers(0, count))
    low, high = wilson_interval(hits, count)
    assert 0 <= low <= hits / count <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            z = abs(hits / count - end) / np.sqrt(end * (1 - end) / count)
            assert z == pytest.approx(1.96, abs=1e-3)


def test_bad_input_is_named():
    window = TRAIN[0][None]
    with pytest.raises(BadInput, match="got none"):
        memorised_share(SAME[:0], window[:0], ZONE[None][:0], SAME, window)
    with pytest.raises(BadInput, match="zone"):
        memorised_share(SAME, window, ~np.ones_like(ZONE)[None], SAME, window)
    with pytest.raises(ShapeError, match="one side"):
        memorised_share(SAME, window, ZONE[None], SAME, window[:, :32, :32])
    with pytest.raises(ShapeError, match="one width"):
        memorised_share(SAME, window, ZONE[None], np.ones((1, 2)), window)
