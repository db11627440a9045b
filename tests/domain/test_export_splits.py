"""Splits of an export: whole groups, shares met, stable as the pool grows."""

import numpy as np
import pytest

from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.export_splits import (
    group_named,
    one_class_splits,
    parsed_shares,
    split_of,
    splits_of,
)

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def test_shares_are_met_within_four_standard_deviations():
    n = 20_000
    found = splits_of((f"{i:x}" for i in range(n)), SHARES)
    for name, share in SHARES.items():
        counted = sum(one == name for one in found.values()) / n
        assert abs(counted - share) < 4 * np.sqrt(share * (1 - share) / n)


def test_a_group_keeps_its_split_when_others_come():
    few = splits_of([str(i) for i in range(200)], SHARES)
    many = splits_of([str(i) for i in range(2000)], SHARES)
    assert few.items() <= many.items()


def test_a_larger_training_share_only_adds_to_training():
    groups = [str(i) for i in range(500)]
    small = {g for g in groups if split_of(g, {"train": 0.5, "val": 0.5}) == "train"}
    large = {g for g in groups if split_of(g, {"train": 0.8, "val": 0.2}) == "train"}
    assert small < large


def test_texts_are_read_or_refused():
    assert parsed_shares("train=.8, val=0.2") == {"train": 0.8, "val": 0.2}
    assert parsed_shares("none") == {"all": 1.0}
    for text in ("", "train", "train=.8", "train=1,train=0", "a=nan,b=.5", "../x=1", "A=1",
                 "a=.5,a=.5", "a=0,b=1", "a=inf", "train=.8,val=.3"):  # fmt: skip
        with pytest.raises(BadParameters, match="Expected"):
            parsed_shares(text)


def test_an_empty_split_is_refused_by_name():
    with pytest.raises(BadInput, match="val stays empty"):
        splits_of(["a"], {"train": 1 - 1e-9, "val": 1e-9})


def test_where_sound_images_train_no_source_of_a_defect_does():
    members = [("OK" if i % 3 else "KO", str(i // 2)) for i in range(400)]
    shares = {"train": 0.6, "test": 0.4}
    found = one_class_splits(members, shares)
    defective = {group for label, group in members if label == "KO"}
    assert {found[group] for group in defective} == {"test"}
    sound = set(found) - defective
    assert {g for g in sound if found[g] == "train"} == {
        g for g in sound if split_of(g, shares) == "train"
    }
    with pytest.raises(BadInput, match="--with-sources"):
        one_class_splits([("KO", "a")], shares)


def test_groups_by_pattern():
    assert group_named("/x/tile7_3.png", "id", None) == "id"
    assert group_named("/x/tile7_3.png", "id", r"tile(\d+)_") == "7"
    assert group_named("/x/other.png", "id", r"tile(\d+)_") == "id"
    for pattern in ("(", "tile"):
        with pytest.raises(BadParameters):
            group_named("/x/tile7_3.png", "id", pattern)
