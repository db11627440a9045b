"""Listing: three layouts read alike, and every fault of a manifest named before any work."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.domain.errors import BadParameters
from tasks.store.listing import list_images


def put(path, size=(80, 70)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 90, 90)).save(path)


def listed(dataset) -> dict:
    files, refused = list_images(str(dataset))
    assert not refused
    return {file.name: file for file in files}


def test_ok_and_ko_folders_with_masks(tmp_path):
    for name in ("ok/a.png", "ko/crack/b.png", "masks/crack/b.png", "ko/c.png"):
        put(tmp_path / name)
    files = listed(tmp_path)
    assert set(files) == {"ok/a.png", "ko/crack/b.png", "ko/c.png"}
    crack = files["ko/crack/b.png"]
    assert (crack.label, crack.kind, crack.split) == ("KO", "crack", "")
    assert crack.mask == str(tmp_path / "masks/crack/b.png")
    assert files["ko/c.png"].kind == "defect"
    assert files["ok/a.png"].kind == "sound"


def test_mvtec_ad_with_its_ground_truth(tmp_path):
    for name in ("train/good/000.png", "test/good/000.png", "test/hole/000.png",
                 "ground_truth/hole/000_mask.png"):  # fmt: skip
        put(tmp_path / name)
    files = listed(tmp_path)
    assert set(files) == {"train/good/000.png", "test/good/000.png", "test/hole/000.png"}
    assert {file.split for file in files.values()} == {"train", "test"}
    hole = files["test/hole/000.png"]
    assert (hole.label, hole.kind) == ("KO", "hole")
    assert hole.mask == str(tmp_path / "ground_truth/hole/000_mask.png")


def test_a_divided_plant_with_what_is_from_outside(tmp_path):
    training = ("train/ok/1.png", "train/ko/crack/2.png", "train/masks/crack/2.png")
    beyond = ("ood/night/ok/4.png", "ood/crater/ko/crater/5.png")
    for name in (*training, "test/ko/crack/3.png", *beyond):
        put(tmp_path / name)
    files = listed(tmp_path)
    assert files["train/ko/crack/2.png"].mask == str(tmp_path / "train/masks/crack/2.png")
    assert files["ood/night/ok/4.png"].split == "ood:night"
    assert (files["ood/crater/ko/crater/5.png"].label, files["test/ko/crack/3.png"].mask) == (
        "KO", None,
    )  # fmt: skip


def manifest(tmp_path, rows: list[dict], name: str = "m.csv"):
    path = tmp_path / name
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_manifest_gives_label_kind_group_split_and_mask(tmp_path, name):
    for image in ("a b.png", "c.png", "m.png"):
        put(tmp_path / image)
    rows = [
        {"path": "a b.png", "label": "ok", "kind": "", "group": "p1", "split": "train", "mask": ""},
        {"path": str(tmp_path / "c.png"), "label": "KO", "kind": "crack", "group": "p2",
         "split": "ood:night", "mask": "m.png"},
    ]  # fmt: skip
    files = list(listed(manifest(tmp_path, rows, name)).values())
    assert [(f.label, f.kind, f.group, f.split) for f in files] == [
        ("OK", "sound", "p1", "train"), ("KO", "crack", "p2", "ood:night"),
    ]  # fmt: skip
    assert files[1].mask == str(tmp_path / "m.png")
    assert np.asarray(Image.open(files[0].path)).shape == (70, 80, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "gone.png"}, r"files that exist in .*gone\.png"),
        ({"path": "a.png"}, r"every path once in .*a\.png"),
        ({"label": "maybe"}, "labels OK or KO in .*'maybe'"),
        ({"split": "validation"}, "splits train, test or ood"),
        ({"mask": "gone.png"}, "masks that exist"),
        ({"colour": "red"}, "unknown colour"),
    ],
)
def test_each_fault_of_a_manifest_is_named(tmp_path, change, message):
    for image in ("a.png", "b.png"):
        put(tmp_path / image)
    rows = [{"path": "a.png", "label": "OK"}, {"path": "b.png", "label": "KO"} | change]
    with pytest.raises(BadParameters, match=message):
        list_images(str(manifest(tmp_path, rows)))


def test_boxes_of_a_manifest_are_read_in_every_format(tmp_path):
    for image in ("a.png", "b.png", "c.png"):
        put(tmp_path / image)
    rows = [
        {"path": "a.png", "label": "OK", "box": ""},
        {"path": "b.png", "label": "KO", "box": "12 40 30 8; 60 5 9 9"},
        {"path": "c.png", "label": "KO", "box": None},
    ]
    for name in ("m.csv", "m.parquet"):
        files = listed(manifest(tmp_path, rows, name))
        assert files["b.png"].boxes == ((12, 40, 30, 8), (60, 5, 9, 9))
        assert files["a.png"].boxes == files["c.png"].boxes == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": "1 2 3"}, r"m\.csv, row 2 \(b\.png\): Expected a box .* got '1 2 3'"),
        ({"box": "1 2 -3 4"}, r"row 2 \(b\.png\).*whole numbers.*'1 2 -3 4'"),
        ({"box": "1 2 0 4"}, r"row 2 \(b\.png\).*a pixel or more.*'1 2 0 4'"),
        ({"box": "1 2 3 4", "label": "ok"}, r"row 2 \(b\.png\): Expected no box on an OK image"),
    ],
)
def test_a_row_with_wrong_boxes_is_named(tmp_path, change, message):
    for image in ("a.png", "b.png"):
        put(tmp_path / image)
    rows = [{"path": "a.png", "label": "KO", "box": "1 2 3 4"}, {"path": "b.png", "label": "KO"}]
    with pytest.raises(BadParameters, match=message):
        list_images(str(manifest(tmp_path, [rows[0], rows[1] | change])))


def test_a_manifest_that_is_none_is_refused(tmp_path):
    put(tmp_path / "a.png")
    with pytest.raises(BadParameters, match="missing label"):
        list_images(str(manifest(tmp_path, [{"path": "a.png"}])))
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(BadParameters, match="readable manifest"):
        list_images(str(tmp_path / "bad.parquet"))
    (tmp_path / "empty.csv").write_text("path,label\n")
    with pytest.raises(BadParameters, match="no row"):
        list_images(str(tmp_path / "empty.csv"))
    with pytest.raises(BadParameters, match="neither"):
        list_images(str(tmp_path / "nowhere"))
