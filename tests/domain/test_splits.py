"""Splits: groups stay whole, kinds are spread, and unusable data are refused with the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.records import SourceFile
from tasks.domain.splits import divided, group_of
from tasks.domain.trial_parameters import SplitParams


def file(name: str, kind: str = "sound", split: str = "", group: str = "") -> SourceFile:
    return SourceFile(
        path=f"/x/{name}", name=name, label="OK" if kind == "sound" else "KO", kind=kind,
        size_bytes=1, modified_ns=1, split=split, group=group or name,
    )  # fmt: skip


def plant(ok: int = 60, ko: int = 24, per_group: int = 3) -> list[SourceFile]:
    files = [file(f"ok/{i}", group=f"part{i // per_group}") for i in range(ok)]
    kinds = ("crack", "porosity")
    return files + [
        file(f"ko/{i}", kinds[i // per_group % 2], group=f"bad{i // per_group}") for i in range(ko)
    ]


@given(seed=st.integers(0, 30), share=st.sampled_from([0.25, 0.5]))
def test_a_new_split_cuts_no_group_and_has_both_classes_and_all_kinds(seed, share):
    files = plant()
    division = divided(files, SplitParams(seed=seed, test_share=share), 3)
    sides = [{one.group for one in part} for part in (division.train, division.test)]
    assert not sides[0] & sides[1]
    assert len(division.train) + len(division.test) == len(files)
    assert len(division.test) / len(files) == pytest.approx(share, abs=0.12)
    for part in (division.train, division.test):
        assert {one.kind for one in part} == {"sound", "crack", "porosity"}


def test_folds_cut_no_group_and_cover_the_training_part():
    division = divided(plant(80, 48), SplitParams(), 4)
    assert set(division.fold) == {one.name for one in division.train}
    assert set(division.fold.values()) == {0, 1, 2, 3}
    of_group = {}
    for one in division.train:
        of_group.setdefault(one.group, set()).add(division.fold[one.name])
    assert all(len(folds) == 1 for folds in of_group.values())


def test_a_stated_split_is_kept_and_what_is_from_outside_stays_outside():
    files = [file(f"train/{i}", split="train") for i in range(9)]
    files += [file(f"train/k{i}", "crack", "train") for i in range(6)]
    files += [file("test/1", split="test"), file("test/2", "crack", "test")]
    files += [file("test/3", "crack", "test"), file("ood/1", split="ood:other")]
    division = divided(files, SplitParams(), 3)
    assert {one.split for one in division.train} == {"train"}
    assert len(division.test) == 3
    assert [one.name for one in division.ood] == ["ood/1"]
    assert division.prevalence == pytest.approx(6 / 15)


def test_a_stated_split_without_defects_to_train_on_is_replaced_and_said_so():
    files = [file(f"train/good/{i}", split="train") for i in range(20)]
    files += [file(f"test/good/{i}", split="test") for i in range(10)]
    files += [file(f"test/hole/{i}", "hole", "test") for i in range(10)]
    division = divided(files, SplitParams(), 2)
    assert any(one.kind == "hole" for one in division.train)
    assert "lacks OK or KO" in division.note
    with pytest.raises(BadInput, match=r"defective images \(KO\) in the training part"):
        divided(files, SplitParams(use="given"), 3)


def test_a_group_in_both_parts_is_refused_by_name():
    files = [*plant(30, 12), *[file(f"t{i}", split="test") for i in range(3)]]
    files = [one.model_copy(update={"split": one.split or "train"}) for one in files]
    files += [file("t9", "crack", "test"), file("t8", "crack", "test", group="bad0")]
    with pytest.raises(BadInput, match="bad0 stand in training and test"):
        divided(files, SplitParams(), 3)


@pytest.mark.parametrize(("ok", "ko"), [(40, 0), (0, 40), (40, 1)])
def test_a_dataset_without_a_class_is_refused(ok, ko):
    with pytest.raises(BadInput, match="needs both classes"):
        divided(plant(ok, ko), SplitParams(), 3)


def test_too_few_groups_for_a_split_are_refused():
    with pytest.raises(BadInput, match="groups to divide"):
        divided(plant(12, 12, per_group=12), SplitParams(test_share=0.2), 3)


def test_thinning_keeps_whole_classes_in_bounds_and_the_true_prevalence():
    division = divided(plant(120, 24), SplitParams(), 3, max_images=20)
    for part in (division.train, division.test):
        assert sum(one.label == "OK" for one in part) == 20
        assert sum(one.label == "KO" for one in part) <= 20
    assert division.prevalence == pytest.approx(24 / 144, abs=0.03)


def test_groups_come_from_the_pattern_the_listing_or_the_name():
    one = file("ok/part7_crop3.png", group="listed")
    assert group_of(one, None) == "listed"
    assert group_of(one, r"part(\d+)_") == "7"
    assert group_of(one, r"tile(\d+)_") == "listed"
    for pattern in ("(", "part"):
        with pytest.raises(BadParameters, match="regular expression"):
            group_of(one, pattern)


def test_a_stray_image_does_not_silently_undo_the_stated_split():
    files = [file(f"train/{i}", "crack" if i < 6 else "sound", "train") for i in range(20)]
    files += [file(f"test/{i}", "crack" if i < 2 else "sound", "test") for i in range(6)]
    files.append(file("preview.png"))
    with pytest.raises(BadInput, match=r"1 name no split, 'preview\.png'"):
        divided(files, SplitParams(), 2)
    assert "states" not in divided(files, SplitParams(use="new"), 2).note


def test_defects_of_one_part_only_cannot_be_validated():
    files = [file(f"train/{i}", split="train") for i in range(20)]
    files += [file(f"train/k{i}", "crack", "train", group="bad") for i in range(5)]
    files += [file("test/1", split="test"), file("test/2", "crack", "test")]
    files += [file("test/3", "crack", "test")]
    with pytest.raises(BadInput, match="defective training images of two parts"):
        divided(files, SplitParams(), 3)
