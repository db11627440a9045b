"""Exports reopened by the tools they are for: equal counts, classes and masks.

A tool that is not installed skips its test, visibly; the `test` extra installs the light ones.
"""

import io
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from exported import HW, SHAPES, examples_of, exported, flaw, land_pictures, mask_iou
from PIL import Image
from skimage.draw import polygon2mask

from tasks.store.images import decoded_mask


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    uri = tmp_path_factory.mktemp("pictures") / "pool"
    land_pictures(uri)
    return uri


@pytest.fixture(scope="module")
def truth(pool):
    return examples_of("coco", pool)


def test_the_masks_that_are_exported_are_the_planted_flaws(truth):
    for stem, one in truth.items():
        shown = flaw(SHAPES[int(stem, 16) % len(SHAPES)]) if one.is_ko else np.zeros(HW, bool)
        assert mask_iou(one.defect, shown) == 1


@pytest.mark.parametrize("whole_folder", [False, True])
def test_imagefolder_by_datasets(pool, truth, tmp_path, monkeypatch, whole_folder):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    exported("imagefolder", pool, tmp_path / "out")
    words = (str(tmp_path / "out"),) if whole_folder else ("imagefolder",)
    found = datasets.load_dataset(
        *words, **({} if whole_folder else {"data_dir": str(tmp_path / "out")}),
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    names = {"train": "train", "validation": "val", "val": "val"}
    rows = [(names[split], row) for split, part in found.items() for row in part]
    assert len(rows) == len(truth)
    for split, row in rows:
        one = truth[row["id"]]
        assert (split, row["kind"], row["label"]) == (one.split, one.provenance.kind,
                                                      one.provenance.label)  # fmt: skip
        shown = [np.asarray(row[name]) for name in ("image", "mask", "region")]
        assert np.array_equal(shown[0], np.asarray(Image.open(io.BytesIO(one.image))))
        assert mask_iou(shown[1] > 0, one.defect) == mask_iou(shown[2] > 0, one.region) == 1
        assert json.loads(row["provenance"]) == one.provenance.model_dump(mode="json")


def test_imagefolder_of_sources_alone_in_a_split_keeps_its_columns(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    exported("imagefolder", pool, tmp_path / "out", kinds=("crack",), with_placebos=False,
             with_sources=True, splits="train=.5,dev=.5")  # fmt: skip
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
    )
    kinds = Counter((row["kind"], row["is_synthetic"]) for part in found.values() for row in part)
    assert kinds == {("crack", True): 12, ("sound", False): 18}


def test_coco_by_pycocotools(pool, truth, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    exported("coco", pool, tmp_path / "out")
    seen = Counter()
    for split in ("train", "val"):
        found = coco.COCO(tmp_path / f"out/annotations/instances_{split}.json")
        names = {one["id"]: one["name"] for one in found.loadCats(found.getCatIds())}
        assert sorted(names.values()) == ["crack", "pore/../x"]
        for image in found.loadImgs(found.getImgIds()):
            one = truth[Path(image["file_name"]).stem]
            assert (image["height"], image["width"], one.split) == (*HW, split)
            assert image["provenance"] == one.provenance.model_dump(mode="json")
            assert (tmp_path / f"out/images/{split}" / image["file_name"]).read_bytes() == one.image
            defects = found.loadAnns(found.getAnnIds(imgIds=image["id"], iscrowd=False))
            assert len(defects) == one.is_ko
            for defect in defects:
                assert names[defect["category_id"]] == one.provenance.kind
                assert mask_iou(found.annToMask(defect) > 0, one.defect) == 1
                region = {**defect, "segmentation": defect["region"]}
                assert mask_iou(found.annToMask(region) > 0, one.region) == 1
                assert defect["area"] == one.defect.sum()
            seen[one.provenance.kind] += 1
    assert seen == Counter(one.provenance.kind for one in truth.values())


def test_coco_by_supervision(pool, truth, tmp_path):
    supervision = pytest.importorskip("supervision")
    exported("coco", pool, tmp_path / "out", splits="none")
    found = supervision.DetectionDataset.from_coco(
        str(tmp_path / "out/images/all"), str(tmp_path / "out/annotations/instances_all.json"),
        force_masks=True,
    )  # fmt: skip
    assert len(found) == len(truth)
    for path, _, detections in found:
        one = truth[Path(path).stem]
        assert [found.classes[c] for c in detections.class_id] == [one.provenance.kind] * one.is_ko
        if one.is_ko:
            assert mask_iou(detections.mask[0], one.defect) == 1


def union(masks, hw=HW) -> np.ndarray:
    return np.any([*masks, np.zeros(hw, bool)], axis=0)


def test_yolo_polygons_by_pixel_centres(pool, truth, tmp_path):
    exported("yolo", pool, tmp_path / "out")
    files = sorted((tmp_path / "out/labels").rglob("*.txt"))
    assert len(files) == len(truth)
    for file in files:
        one = truth[file.stem]
        lines = [line.split() for line in file.read_text().splitlines()]
        numbers = [np.array(line[1:], dtype=np.float32).reshape(-1, 2) for line in lines]
        assert all(((n >= 0) & (n <= 1)).all() for n in numbers)
        classes = {("crack", "pore/../x")[int(line[0])] for line in lines}
        assert classes == ({one.provenance.kind} if one.is_ko else set())
        masks = [polygon2mask(HW, (n * HW[::-1])[:, ::-1] - 0.5) for n in numbers]
        assert mask_iou(union(masks), one.defect) == 1


def test_yolo_by_supervision_which_rounds(pool, truth, tmp_path):
    """It rounds vertices up at right and below: masks one pixel larger there, never smaller."""
    supervision = pytest.importorskip("supervision")
    exported("yolo", pool, tmp_path / "out", splits="none")
    out = tmp_path / "out"
    found = supervision.DetectionDataset.from_yolo(
        str(out / "images/all"), str(out / "labels/all"), str(out / "data.yaml"), force_masks=True
    )
    assert (len(found), found.classes) == (len(truth), ["crack", "pore/../x"])
    ious = []
    for path, _, detections in found:
        one = truth[Path(path).stem]
        if not one.is_ko:
            assert len(detections) == 0
            continue
        mask = union(detections.mask)
        assert {found.classes[c] for c in detections.class_id} == {one.provenance.kind}
        assert (mask | one.defect == mask).all()
        grown = np.zeros(HW, bool)
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            grown[dy:, dx:] |= one.defect[: HW[0] - dy, : HW[1] - dx]
        assert not (mask & ~grown).any()
        ious.append(mask_iou(mask, one.defect))
    assert 0.6 < min(ious) < 1


def test_yolo_by_ultralytics(pool, truth, tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    pytest.importorskip("ultralytics")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    monkeypatch.setattr("ultralytics.data.utils.check_font", lambda font: None)  # a download
    exported("yolo", pool, tmp_path / "out")
    data = check_det_dataset(str(tmp_path / "out/data.yaml"), autodownload=False)
    seen = 0
    for split in ("train", "val"):
        for label in YOLODataset(img_path=data[split], data=data, task="segment").labels:
            one = truth[Path(label["im_file"]).stem]
            masks = [polygon2mask(HW, [(s * HW[::-1]).reshape(-1)]) > 0 for s in label["segments"]]
            assert mask_iou(union(masks), one.defect) == 1
            kinds = {data["names"][int(c)] for c in label["cls"].ravel()}
            assert kinds == ({one.provenance.kind} if one.is_ko else set())
            assert one.split == split
            seen += 1
    assert seen == len(truth)


def test_mvtec_by_anomalib(pool, tmp_path):
    pytest.importorskip("anomalib")
    from anomalib.data.datasets.image.mvtecad import MVTecADDataset

    exported("mvtec", pool, tmp_path / "weld", with_sources=True)
    truth = examples_of("mvtec", pool, with_sources=True)
    seen = 0
    for split in ("train", "test"):
        found = MVTecADDataset(root=tmp_path, category="weld", split=split)
        for item, row in zip(found, found.samples.itertuples(), strict=True):
            one = truth[Path(row.image_path).stem]
            assert (one.split, bool(item.gt_label)) == (split, one.is_ko)
            if split == "test":
                assert mask_iou(item.gt_mask.numpy() > 0, one.defect) == 1
            seen += 1
    assert seen == len(truth)


def test_mvtec_by_its_rules_and_by_our_own_listing(pool, tmp_path):
    from tasks.store.listing import list_images

    exported("mvtec", pool, tmp_path / "weld", with_sources=True)
    truth = examples_of("mvtec", pool, with_sources=True)
    files, refused = list_images(str(tmp_path / "weld"))
    assert (len(files), refused) == (len(truth), [])
    trained, tested = set(), set()
    for file in files:
        one = truth[Path(file.path).stem]
        assert (file.label, file.split) == (one.provenance.label, one.split)
        (trained if file.split == "train" else tested).add(one.provenance.source_id)
        if file.label == "KO":
            mask = decoded_mask(Path(file.mask).read_bytes())
            assert mask_iou(mask, one.defect) == 1
    assert trained
    assert not trained & tested


def test_parquet_by_pandas(pool, truth, tmp_path):
    import pandas as pd

    exported("parquet", pool, tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out/data")
    assert found["id"].is_unique
    assert found.groupby(["split", "kind"]).size().to_dict() == Counter(
        (one.split, one.provenance.kind) for one in truth.values()
    )
    for row in found.to_dict("records"):
        one = truth[row["id"]]
        assert row["image"] == one.image
        assert mask_iou(decoded_mask(row["mask"]), one.defect) == 1
        assert mask_iou(decoded_mask(row["region"]), one.region) == 1
        assert (row["seed"], row["s_i"]) == (one.provenance.seed, one.provenance.s_i)


def test_parquet_in_files_of_bounded_length(pool, truth, tmp_path, monkeypatch):
    import pandas as pd

    from tasks.store.exports import parquet

    monkeypatch.setattr(parquet, "SHARD_ROWS", 4)
    exported("parquet", pool, tmp_path / "out", splits="none")
    files = sorted(file.name for file in (tmp_path / "out/data").iterdir())
    wanted = -(-len(truth) // 4)
    assert files == [f"all-{i:05d}-of-{wanted:05d}.parquet" for i in range(wanted)]
    assert set(pd.read_parquet(tmp_path / "out/data")["id"]) == set(truth)


@pytest.mark.slow
def test_fiftyone_by_fiftyone(pool, truth, tmp_path):
    os.environ.setdefault("FIFTYONE_DATABASE_DIR", str(tmp_path / "db"))
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "1")
    fiftyone = pytest.importorskip("fiftyone", exc_type=Exception)
    exported("fiftyone", pool, tmp_path / "out")
    found = fiftyone.Dataset.from_dir(
        str(tmp_path / "out"), dataset_type=fiftyone.types.FiftyOneDataset
    )
    assert len(found) == len(truth)
    assert found.count_values("ground_truth.label") == Counter(
        one.provenance.kind for one in truth.values()
    )
    for sample in found:
        one = truth[sample.pool_id]
        assert (sample.tags, sample.seed) == ([one.split], one.provenance.seed)
        assert Path(sample.filepath).read_bytes() == one.image
        assert len(sample.defect.detections) == one.is_ko
        for defect in sample.defect.detections:
            whole = defect.to_segmentation(frame_size=HW[::-1]).get_mask() > 0
            assert (defect.label, mask_iou(whole, one.defect)) == (one.provenance.kind, 1)
        assert mask_iou(sample.region.get_mask() > 0, one.region) == 1
    found.delete()


def test_fiftyone_by_its_documented_form(pool, truth, tmp_path):
    out = tmp_path / "out"
    exported("fiftyone", pool, out)
    assert "version" not in json.loads((out / "metadata.json").read_text())
    samples = json.loads((out / "samples.json").read_text())["samples"]
    assert len({sample["_id"]["$oid"] for sample in samples}) == len(truth)
    for sample in samples:
        one = truth[sample["pool_id"]]
        assert (out / sample["filepath"]).read_bytes() == one.image
        assert sample["tags"] == [one.split]
        shown = np.zeros(HW, bool)
        for defect in sample["defect"]["detections"]:
            assert defect["label"] == one.provenance.kind
            x, y, w, h = (
                round(share * side)
                for share, side in zip(defect["bounding_box"], (*HW[::-1], *HW[::-1]), strict=True)
            )
            shown[y : y + h, x : x + w] = decoded_mask((out / defect["mask_path"]).read_bytes())
        assert mask_iou(shown, one.defect) == 1


@pytest.mark.parametrize("form", ["imagefolder", "coco", "yolo", "mvtec", "parquet", "fiftyone"])
def test_croissant_by_mlcroissant(pool, tmp_path, form):
    mlcroissant = pytest.importorskip("mlcroissant")
    exported(form, pool, tmp_path / "out", with_sources=True)
    found = mlcroissant.Dataset(str(tmp_path / "out/croissant.json"))
    assert not found.metadata.ctx.issues.errors
    truth = examples_of(form, pool, with_sources=True)
    records = list(found.records("images"))
    told = {record["images/id"].decode(): record for record in records}
    assert len(records) == len(truth)
    assert set(told) == {one.provenance.id for one in truth.values()}
    for one in truth.values():
        assert told[one.provenance.id]["images/kind"].decode() == one.provenance.kind
        assert told[one.provenance.id]["images/is_synthetic"] == one.provenance.is_synthetic
