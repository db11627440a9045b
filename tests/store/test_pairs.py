"""Pairs as listed: by folder or by manifest; what is wrong with one is its own refusal."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tasks.domain.errors import BadParameters
from tasks.store.pairs import list_pairs


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64)).save(path)
    return path


def listed(place, *, kind="defect", maker: str | None = "studio", generation=None):
    return list_pairs(str(place), kind=kind, maker=maker, generation=generation)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pairs"
    for name in ("sources/a.png", "sources/b.jpg", "candidates/a.png", "candidates/rust/b.png",
                 "candidates/rust/lost.png", "masks/rust/b.png"):  # fmt: skip
        write(root / name)
    return root


def test_a_folder_pairs_by_name_with_kind_and_mask_by_subfolder(folder):
    pairs, refusals = listed(folder, kind="scratch", generation=0)
    assert [(p.name, p.kind, Path(p.source).name) for p in pairs] == [
        ("candidates/a.png", "scratch", "a.png"), ("candidates/rust/b.png", "rust", "b.jpg"),
    ]  # fmt: skip
    assert pairs[0].mask is None
    assert pairs[1].mask == str(folder / "masks/rust/b.png")
    assert {(p.maker, p.generation) for p in pairs} == {("studio", 0)}
    assert [(r.subject, r.stage) for r in refusals] == [("candidates/rust/lost.png", "adopt")]
    assert "0 images named lost in sources/" in refusals[0].reason


def test_two_sources_of_one_name_are_no_choice_to_make_silently(folder):
    write(folder / "sources" / "a.jpg")
    _, refusals = listed(folder)
    assert any("2 images named a" in one.reason for one in refusals)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    outside = write(tmp_path / "secret.png")
    write(folder / "sources" / "c.png")
    (folder / "candidates" / "c.png").symlink_to(outside)
    pairs, refusals = listed(folder)
    assert "candidates/c.png" not in {one.name for one in pairs}
    assert any("leads out" in one.reason for one in refusals)


def manifest(folder: Path, rows: list[dict], name="pairs.csv") -> Path:
    path = folder / name
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
    return path


GOOD = {"source": "sources/a.png", "candidate": "candidates/a.png"}


def test_a_manifest_says_kind_prompt_maker_and_generation(folder):
    told = {"kind": "rust", "prompt": "rust", "maker": "Ada", "generation": "2"}
    rows = [GOOD | told, {**GOOD, "candidate": "candidates/rust/b.png"}]
    pairs, refusals = listed(manifest(folder, rows))
    assert refusals == []
    first, second = pairs
    assert (first.kind, first.prompt, first.maker, first.generation) == ("rust", "rust", "Ada", 2)
    assert (second.kind, second.prompt, second.maker, second.generation) == (
        "defect", "", "studio", None,
    )  # fmt: skip


def test_parquets_numbers_with_gaps_are_generations(folder):
    rows = [GOOD | {"generation": 0}, {**GOOD, "candidate": "candidates/rust/b.png"}]
    pairs, _ = listed(manifest(folder, rows, "pairs.parquet"))
    assert [one.generation for one in pairs] == [0, None]


def test_files_that_are_not_there_cost_their_own_pair(folder):
    rows = [
        GOOD,
        GOOD | {"candidate": "candidates/none.png"},
        GOOD | {"source": "sources/none.png", "candidate": "candidates/rust/b.png"},
        GOOD | {"candidate": "candidates/rust/lost.png", "mask": "masks/none.png"},
        GOOD | {"candidate": ""},
    ]
    pairs, refusals = listed(manifest(folder, rows))
    assert [one.name for one in pairs] == ["candidates/a.png"]
    assert [one.reason.split(" none.png")[0] for one in refusals] == [
        "missing: candidate", "missing: source", "missing: mask",
        "missing: no candidate is named",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "maker", "said"),
    [([GOOD | {"seed": "1"}], "studio", "unknown seed"),
     ([{"source": "sources/a.png"}], "studio", "missing candidate"),
     ([GOOD], None, "Expected who made candidates/a.png"),
     ([GOOD | {"generation": "old"}], "studio", "generation of 0 or more"),
     ([GOOD | {"generation": "-1"}], "studio", "generation of 0 or more")],
)  # fmt: skip
def test_a_manifest_that_cannot_be_meant_stops_at_once(folder, rows, maker, said):
    with pytest.raises(BadParameters, match=said):
        listed(manifest(folder, rows), maker=maker)


def test_no_candidates(tmp_path):
    with pytest.raises(BadParameters, match="neither"):
        listed(tmp_path / "nowhere")
    with pytest.raises(BadParameters, match="found none"):
        listed(tmp_path)
