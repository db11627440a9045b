"""The probe separates what is separable, says which method it is, and survives npz."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.probe import KoProbe, defect_windows

D = 32
BASE, DEFECT = np.random.default_rng(9).normal(size=(2, D)) * [[2.0], [1.0]]


def windows(seed: int, n: int, defect: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = BASE + defect * DEFECT + rng.normal(0, 0.3, (n, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


OK = windows(0, 120)
GROUPS = np.repeat([f"s{i:02d}" for i in range(30)], 4)
KO = windows(1, 12, 1.5)
TWO = KoProbe.fit(OK, KO, GROUPS, 8)
ONE = KoProbe.fit(OK, KO[:7], GROUPS, 8)


def test_the_method_follows_the_number_of_ko() -> None:
    assert (TWO.method, ONE.method) == ("two_class", "one_class")
    assert KoProbe.fit(OK, KO[:0], GROUPS, 8).method == "one_class"
    assert KoProbe.fit(OK, KO[:8], GROUPS, 8).method == "two_class"


@pytest.mark.parametrize("probe", [TWO, ONE], ids=["two_class", "one_class"])
def test_unseen_defects_score_above_unseen_sound_windows(probe: KoProbe) -> None:
    sound, defective = probe.score(windows(2, 200)), probe.score(windows(3, 200, 1.5))
    assert np.median(sound) < 0.25
    assert np.median(defective) > 0.75
    assert (defective[:, None] > sound[None, :]).mean() > 0.98


def test_one_class_is_a_half_at_q99_and_a_twentieth_at_q50() -> None:
    scores = ONE.score(OK, exclude=GROUPS)
    assert np.mean(scores > 0.5) == pytest.approx(0.01, abs=0.01)
    assert np.median(scores) == pytest.approx(0.05, abs=0.01)


def test_two_class_cannot_tell_one_cloud_from_itself() -> None:
    probe = KoProbe.fit(OK, windows(5, 12), GROUPS, 8)
    drift = probe.score(windows(6, 200)).mean() - probe.score(windows(7, 200)).mean()
    assert abs(drift) < 0.05


def test_a_rare_class_weighs_as_much_as_a_frequent_one() -> None:
    many, groups = windows(30, 1200), np.arange(1200).astype(str)
    probe = KoProbe.fit(many, windows(31, 40), groups, 8)  # 3 %, of the same cloud
    assert probe.score(windows(32, 300)).mean() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("probe", [TWO, ONE], ids=["two_class", "one_class"])
def test_arrays_bring_the_same_probe_back(probe: KoProbe) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **probe.to_arrays())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as arrays:
        again = KoProbe.from_arrays(dict(arrays))
    assert again.method == probe.method
    assert np.array_equal(again.score(KO), probe.score(KO))


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(0, 20))
def test_scores_are_in_range_and_do_not_depend_on_the_batch(seed: int, n: int) -> None:
    rows = windows(seed, n, 3.0)
    for probe in (TWO, ONE):
        scores = probe.score(rows)
        assert scores.shape == (n,)
        assert ((scores >= 0) & (scores <= 1)).all()
        alone = [probe.score(rows[i : i + 1])[0] for i in range(n)]
        assert scores == pytest.approx(np.array(alone), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_planted_window_is_found_in_each_ko_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, groups = windows(seed + 10, 50), np.repeat(["d", "b", "a", "e", "c"], 10)
    planted = np.array([int(rng.integers(10)) + 10 * g for g in range(5)])
    rows[planted] = windows(seed + 20, 5, 2.0)
    found = defect_windows(rows, groups, OK)
    assert found.tolist() == [planted[i] for i in (2, 1, 4, 0, 3)]
    assert groups[found].tolist() == ["a", "b", "c", "d", "e"]
    assert defect_windows(rows[:0], groups[:0], OK).size == 0


def test_bad_input_is_named() -> None:
    with pytest.raises(BadInput, match="OK windows"):
        KoProbe.fit(OK[:0], KO, GROUPS[:0], 8)
    with pytest.raises(BadInput, match="at least 4"):
        KoProbe.fit(OK[:8], KO[:0], GROUPS[:8], 8)
    with pytest.raises(ShapeError, match="groups"):
        KoProbe.fit(OK, KO, GROUPS[:5], 8)
    for probe in (TWO, ONE):
        with pytest.raises(ShapeError, match=r"model set|measure"):
            probe.score(KO[:, :5])
    with pytest.raises(BadInput, match="OK windows"):
        defect_windows(KO, np.arange(12), OK[:0])
