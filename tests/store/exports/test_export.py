"""An export as a whole: the same bytes for the same version, what it says, and what it refuses."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from exported import examples_of, exported, land_pictures
from landed import land, run_row, source_row

from tasks.domain.errors import BadInput, BadParameters, PoolBroken, UnknownVersion
from tasks.domain.export_records import ExportParams
from tasks.store.archive import Archive
from tasks.store.exports.examples import read_examples
from tasks.store.exports.export import WRITERS
from tasks.store.exports.selection import Selection
from tasks.store.rows import PoolRow, TrialRow
from tasks.store.trials import Trials


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    uri = tmp_path_factory.mktemp("pictures") / "line <3>"
    land_pictures(uri)
    return uri


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("form", ["coco", "parquet"])
def test_equal_versions_give_equal_bytes_that_their_sums_vouch_for(pool, tmp_path, form):
    result = exported(form, pool, tmp_path / "a", licence="CC-BY-4.0")
    exported(form, pool, tmp_path / "b", licence="CC-BY-4.0")
    files = tree(tmp_path / "a")
    assert files == tree(tmp_path / "b")
    for line in (tmp_path / "a/SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(files.pop(name)).hexdigest() == digest
    assert set(files) == {"croissant.json", "SHA256SUMS"}
    assert result.images == sum(sum(own.values()) for own in result.by_split.values()) == 30
    about = json.loads((tmp_path / "a/croissant.json").read_text())
    sums = next(one for one in about["distribution"] if one["@id"] == "SHA256SUMS")
    data = (tmp_path / "a/SHA256SUMS").read_bytes()
    assert sums["sha256"] == hashlib.sha256(data).hexdigest()


def test_no_path_of_this_machine_goes_along(pool, tmp_path):
    for form in WRITERS:
        exported(form, pool, tmp_path / form, with_sources=True)
        for name, data in tree(tmp_path / form).items():
            assert str(tmp_path.parent).encode() not in data, name
            assert b"/plant/" not in data, name


def test_two_images_of_one_group_never_stand_in_two_splits(pool):
    tiles = {}
    examples = examples_of("coco", pool, with_sources=True, group_pattern=r"(tile\d+)_")
    for one in examples.values():
        tiles.setdefault(one.provenance.group, set()).add(one.split)
    assert len(tiles) == 6
    assert all(len(splits) == 1 for splits in tiles.values())


def test_choices(pool):
    def kinds(**changes):
        rows = examples_of("coco", pool, splits="none", **changes).values()
        return {(r.provenance.kind, r.provenance.is_synthetic) for r in rows}, len(rows)

    assert kinds(kinds=("crack",)) == ({("crack", True), ("sound", True)}, 18)
    assert kinds(with_placebos=False) == ({("crack", True), ("pore/../x", True)}, 24)
    assert kinds(kinds=("crack",), with_placebos=False, with_sources=True) == (
        {("crack", True), ("sound", False)}, 30,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"kinds": ("rust",)}, BadInput, "crack, pore/../x"),
        ({"version": "v9"}, UnknownVersion, "v1"),
        ({"splits": "train=.5"}, BadParameters, "add up to"),
        ({"splits": "train=.999999,val=.000001"}, BadInput, "stays empty"),
        ({"group_pattern": "("}, BadParameters, "regular expression"),
        ({"format": "mvtec", "splits": "train=.5,val=.5"}, BadParameters, "train and test"),
    ],
)
def test_what_cannot_be_exported_is_said_before_anything_is_written(
    pool, tmp_path, changes, error, said
):
    words = {"form": "coco"} | {k.replace("format", "form"): v for k, v in changes.items()}
    with pytest.raises(error, match=said.replace(".", r"\.")):
        exported(**words, pool=pool, out=tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_a_pool_of_no_rows_or_no_pool(tmp_path):
    land(tmp_path / "pool", "r1", [])
    with pytest.raises(BadInput, match="holds none"):
        exported("coco", tmp_path / "pool", tmp_path / "out")
    with pytest.raises(UnknownVersion):
        exported("coco", tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_pixels_are_named(tmp_path):
    land(tmp_path / "pool", "r1", ["a"])  # its image is no PNG, its source neither
    with pytest.raises(PoolBroken, match="s1"):
        exported("coco", tmp_path / "pool", tmp_path / "out", splits="none")
    assert not (tmp_path / "out").exists()


def test_rows_are_read_as_they_are_written(pool, monkeypatch):
    from tasks.store.exports import selection

    monkeypatch.setattr(selection, "WRITE_BATCH", 4)
    chosen = Selection(ExportParams(format="coco", pool=str(pool), out="x"))
    read, batches = [], chosen.batches

    def counted(table, *words):
        for batch in batches(table, *words):
            read.extend(batch if table == "pool" else [])
            yield batch

    monkeypatch.setattr(chosen, "batches", counted)
    examples = read_examples(chosen, 0.0)
    for written in range(1, 9):
        next(examples)
        assert written <= len(read) <= written + 3


def card_of(folder: Path) -> tuple[dict, str]:
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_card_says_what_the_images_are(pool, tmp_path):
    exported("coco", pool, tmp_path / "out", licence='x: "y"\n- [a](b)')
    head, body = card_of(tmp_path / "out")
    assert (head["license"], head["license_name"]) == ("other", 'x: "y"\n- [a](b)')
    assert "synthetic" in head["tags"]
    assert head["pretty_name"] == "line <3> v1"
    assert "**These images are synthetic.** 30 of the 30" in body
    assert "line &lt;3&gt;" in body.replace("\\", "")
    assert "<3>" not in body
    assert "[a](b)" not in body
    assert Archive(str(pool)).manifests("v1")["pool"] in body
    assert "No trial of this version" in body


def test_the_card_tells_the_trials_figures(tmp_path):
    pool = tmp_path / "pool"
    land_pictures(pool, sources=2, per_source=1, sound=0)
    recall = {"value": 0.5, "low": 0.25, "high": 0.75}
    Trials(str(pool)).record(
        TrialRow(
            trial_id="t", version="v1", dataset="/secret/x", recommended_share=0.15,
            is_promoted=None, reason="no difference | shown", params="{}",
            result=json.dumps({"arms": [{"arm": "real", "measures": {"recall": recall}}]}),
            created_at="2026-11-23",
        )
    )  # fmt: skip
    exported("coco", pool, tmp_path / "out", splits="none")
    _, body = card_of(tmp_path / "out")
    assert "| real | 0.500 (0.250 to 0.750) |" in body
    assert "15 %" in body
    assert "no difference \\| shown" in body
    assert "/secret" not in body


def test_where_no_change_stands_out_the_region_is_the_mask_and_the_export_says_so(tmp_path):
    import numpy as np
    from exported import HW, encoded_png, surface
    from landed import columns

    region = np.zeros(HW, dtype=bool)
    region[10:20, 10:20] = True
    image = encoded_png(surface(0))
    Archive(str(tmp_path / "pool")).land(
        run_row("r1"), rejected=[], embedding_dim=8,
        pool=[PoolRow(**columns("a", image=image, mask=encoded_png(region),
                                bead_mask=encoded_png(np.ones(HW, bool))))],
        sources=[source_row(bytes=image)],
    )  # fmt: skip
    result = exported("coco", tmp_path / "pool", tmp_path / "out", splits="none")
    assert result.region_masks == 1
    assert "For 1 images no change stands out" in card_of(tmp_path / "out")[1]
    told = json.loads((tmp_path / "out/provenance.jsonl").read_text())
    assert told["mask_origin"] == "region"
