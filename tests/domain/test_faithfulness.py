"""What is made as prompted is counted, by kind; the probe's worth is told on unseen sources."""

import math

import numpy as np
import pytest

from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.faithfulness import ALL, faithfulness

DIM = 12
KINDS = ("crack", "pores", "sound")


def rows_of(kinds, seed: int, spread: float = 0.15) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.stack([np.eye(DIM)[KINDS.index(kind)] for kind in kinds])
    rows = rows + rng.normal(0, spread, rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(prefix: str, count: int, each: int) -> np.ndarray:
    return np.array([f"{prefix}{i // each}" for i in range(count)])


KNOWN = np.repeat(KINDS, [10, 10, 60])
REAL = (rows_of(KNOWN, 0), KNOWN, names("r", 80, 2))


def test_the_share_is_that_of_windows_that_show_what_was_asked():
    asked = np.repeat(KINDS, 20)
    shown = asked.copy()
    shown[:15] = "sound"  # 15 of 20 cracks show nothing
    shown[20:25] = "crack"  # 5 of 20 pores show cracks
    found = faithfulness(*REAL, rows_of(shown, 1), asked, names("m", 60, 2), 300, 0)
    assert {kind: one.value for kind, one in found.shares.items()} == pytest.approx(
        {"crack": 0.25, "pores": 0.75, "sound": 1.0, ALL: 2 / 3}
    )
    assert found.left_out == ()
    for one in found.shares.values():
        assert one.low <= one.value <= one.high
    assert found.shares["crack"].low < 0.2
    assert found.shares["crack"].high > 0.3


def test_windows_of_one_source_make_the_interval_wider():
    asked = np.repeat("crack", 60)
    shown = np.where(np.arange(60) // 10 % 2, "crack", "sound")

    def width(groups):
        one = faithfulness(*REAL, rows_of(shown, 1), asked, groups, 500, 0).shares["crack"]
        return one.high - one.low

    assert width(names("m", 60, 10)) > 2 * width(names("m", 60, 1))


def test_the_probes_worth_is_that_on_sources_it_never_saw():
    made = (rows_of(["crack"] * 4, 1), np.repeat("crack", 4), names("m", 4, 1))
    good = faithfulness(*REAL, *made, 50, 0).probe_recall
    assert good[ALL] > 0.95
    # A signature a source and nothing of the kind: known by heart, on unseen sources chance.
    rng = np.random.default_rng(0)
    signature = np.repeat(rng.normal(size=(24, 40)), 5, axis=0)
    kinds = np.repeat(["crack", "sound"], 60)
    wide = np.zeros((1, 40)), np.array(["crack"]), np.array(["m"])
    blind = faithfulness(signature, kinds, names("r", 120, 5), *wide, 50, 0).probe_recall
    assert blind[ALL] < 0.65
    leaky = faithfulness(signature, kinds, names("r", 120, 1), *wide, 50, 0).probe_recall
    assert leaky[ALL] > 0.8


def test_rare_kinds_are_left_out_and_named_and_one_of_a_single_source_has_no_recall():
    kinds = np.array([*["crack"] * 2, *["pores"] * 4, *["sound"] * 30])
    groups = np.array([*"ab", *"cccc", *(f"s{i}" for i in range(30))])
    asked = np.array(["crack", "pores", "undercut", "sound"])
    made = (rows_of(["crack", "pores", "sound", "sound"], 4), asked, names("m", 4, 1))
    found = faithfulness(rows_of(kinds, 3), kinds, groups, *made, 50, 0)
    assert found.left_out == ("crack", "undercut")
    assert set(found.shares) == {"pores", "sound", ALL}
    assert found.shares[ALL].value == 1
    assert math.isnan(found.probe_recall["pores"])
    assert found.probe_recall[ALL] == found.probe_recall["sound"]


def test_nothing_to_tell_apart_is_an_empty_table():
    made = (rows_of(["crack"], 1), np.array(["crack"]), np.array(["m"]))
    sound = KNOWN == "sound"
    found = faithfulness(*(part[sound] for part in REAL), *made, 50, 0)
    assert (found.shares, found.probe_recall, found.left_out) == ({}, {}, ("crack",))
    nothing = faithfulness(*REAL, np.zeros((0, DIM)), np.array([]), np.array([]), 50, 0)
    assert nothing.shares == {}
    assert nothing.probe_recall[ALL] > 0.9


def test_the_many_sound_windows_do_not_outvote_a_rare_defect():
    asked = np.repeat("crack", 40)
    blurred = rows_of(asked, 5, spread=0.45)
    many = np.repeat(KINDS, [5, 5, 400])
    real = (rows_of(many, 6, spread=0.45), many, names("r", 410, 1))
    found = faithfulness(*real, blurred, asked, names("m", 40, 1), 50, 0)
    assert found.shares["crack"].value > 0.3


def test_bad_input_is_named():
    made = (rows_of(["crack"], 1), np.array(["crack"]), np.array(["m"]))
    with pytest.raises(BadInput, match="finite made"):
        faithfulness(*REAL, made[0] * np.nan, *made[1:], 50, 0)
    with pytest.raises(ShapeError, match="real rows"):
        faithfulness(REAL[0], REAL[1][:3], REAL[2], *made, 50, 0)
