"""The pool's commands as a person calls them: lives told, pictures saved, sources withdrawn."""

import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from command_line import run
from landed import TRIAL, land, run_row
from PIL import Image

from tasks.domain.calibration import Quantiles
from tasks.domain.judging import RunFigures
from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.store.archive import Archive
from tasks.store.images import encoded_png
from tasks.store.trials import Trials

rng = np.random.default_rng(3)
IMAGE = encoded_png(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8))
BEAD, REGION = np.zeros((96, 128), dtype=bool), np.zeros((96, 128), dtype=bool)
BEAD[40:60], REGION[45:50, 10:30] = True, True
GOOD, OTHER, BAD = "a" * 31 + "0", "a" * 31 + "1", "b" * 32
GATES = {"bead_iou": 0.95, "inside_share": 1.0, "histogram": 0.9, "seam": 0.12, "change": 5.0}


@pytest.fixture
def photo(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(buffer, "JPEG")
    (tmp_path / "part.jpg").write_bytes(buffer.getvalue())
    return tmp_path / "part.jpg"


@pytest.fixture
def pool(tmp_path, photo):
    """v1 and v2, of a run with parameters and calibration, and a trial of v1."""
    uri = str(tmp_path / "pool")
    params = GrowParams(
        images="x", pool=uri, prompts=(PromptSpec(kind="crack", prompt="a crack"),),
        report=str(tmp_path / "own.html"),
    )  # fmt: skip
    figures = RunFigures(
        calibration={"novelty": Quantiles(q50=0.1, q95=0.2, q99=0.3, n=9).model_dump()}
    )

    made = {
        "image": IMAGE, "mask": encoded_png(REGION), "bead_mask": encoded_png(BEAD),
        "gates": json.dumps(GATES), "models": json.dumps({"fingerprint": "f" * 32}),
    }  # fmt: skip
    source = {
        "source": hashlib.sha256(photo.read_bytes()).hexdigest(),
        "source_bytes": photo.read_bytes(),
    }
    first = replace(
        run_row("r1"), params=params.model_dump_json(), calibration=figures.model_dump_json()
    )
    land(uri, "r1", [GOOD, OTHER], [BAD], run=first, **source, **made)
    land(uri, "r2", [BAD], base="v1", **source, **made)
    Trials(uri).record(TRIAL)
    return uri


def test_the_life_of_an_accepted_image_is_told_whole(monkeypatch, capsys, pool, photo):
    status, out, _ = run(monkeypatch, capsys, "pool", "show", GOOD, "--pool", pool)
    assert status == 0
    source = hashlib.sha256(photo.read_bytes()).hexdigest()
    for said in (
        f"{GOOD}: crack, accepted", source, "2,560 px", "20.8% of 128 x 96", "100 px",
        "64 x 64 at (1, 2)", '"a crack"', "8 of 25 steps", "r1 of 2026-11-23, landed as v1",
        "begun from an empty pool", "stands in v1, v2", "v1 on x: share 15%, promoted", "m1",
    ):  # fmt: skip
        assert said in out, said
    (seam,) = [line for line in out.splitlines() if " seam " in line]
    assert seam.split() == ["plausible", "seam", "0.12", ">=", "0.6", "REFUSES"]


def test_a_refused_image_has_a_life_too_and_json_has_all_of_it(monkeypatch, capsys, pool):
    words = ("pool", "show", BAD[:8], "--pool", pool, "--version", "v1", "--json")
    _, out, _ = run(monkeypatch, capsys, *words)
    told = json.loads(out)
    assert (told["id"], told["table"], told["stage"]) == (BAD, "rejected", "useful")
    assert told["reasons"] == ["no novelty"]
    assert told["versions"] == ["v1", "v2"]
    assert told["trials"][0]["dataset"] == "x"
    assert {one["name"] for one in told["checks"]} == {*GATES, "realism", "s_i"}


def test_the_life_of_a_foreign_image_names_its_maker_and_invents_no_settings(
    monkeypatch, capsys, pool, photo
):
    row_id = "f" * 32
    unknown = ("seed", "strength", "guidance_scale", "steps", "effective_steps", "negative_prompt")
    land(
        pool, "r3", [row_id], base="v2", maker="Ada", maker_file="0" * 64, generation=None,
        source=hashlib.sha256(photo.read_bytes()).hexdigest(), source_bytes=photo.read_bytes(),
        image=IMAGE, mask=encoded_png(REGION), bead_mask=encoded_png(BEAD),
        models=json.dumps({"fingerprint": "f" * 32}), **dict.fromkeys(unknown),
    )  # fmt: skip
    status, out, _ = run(monkeypatch, capsys, "pool", "show", row_id[:8], "--pool", pool)
    assert status == 0
    assert f'"a crack", made elsewhere by Ada, file {"0" * 64}' in out
    assert "measured it; generation unknown" in out
    assert "None" not in out


def test_ambiguous_short_and_unknown_ids_are_refused_by_name(monkeypatch, capsys, pool):
    for text, said in (
        ("a" * 8, OTHER), ("a" * 7, "first 8 digits"), ("c" * 9, "but got"), ("", "but got"),
        ("a' OR '1'='1", "but got"),
    ):  # fmt: skip
        status, out, err = run(monkeypatch, capsys, "pool", "show", text, "--pool", pool)
        assert (status in {1, 2}, out) == (True, "")
        assert said in err
        assert "Traceback" not in err


def test_pictures_are_saved_as_they_are_under_fixed_names(
    monkeypatch, capsys, pool, photo, tmp_path
):
    folder = tmp_path / "saved"
    run(monkeypatch, capsys, "pool", "show", GOOD, "--pool", pool, "--save", str(folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        "bead.png", "image.png", "mask.png", "source.jpg",
    ]  # fmt: skip
    assert (folder / "source.jpg").read_bytes() == photo.read_bytes()
    assert (folder / "image.png").read_bytes() == IMAGE
    assert np.array_equal(np.asarray(Image.open(folder / "bead.png")) > 0, BEAD)


def test_a_difference_is_told_with_what_moved_and_why(monkeypatch, capsys, pool):
    status, out, _ = run(monkeypatch, capsys, "pool", "diff", "v1", "v2", "--pool", pool)
    assert status == 0
    assert "0 added, 0 removed, 1 re-scored (1 of them moved), 2 unchanged" in out
    assert f"{BAD}  S_i 0.800 -> 0.800  useful: no novelty -> accepted" in out
    _, out, _ = run(monkeypatch, capsys, "pool", "diff", "v2", "v1", "--pool", pool, "--json")
    assert json.loads(out)["moved"] == [BAD]
    status, _, err = run(monkeypatch, capsys, "pool", "diff", "v1", "v9", "--pool", pool)
    assert (status, "v9" in err) == (1, True)


def test_verify_names_what_changed_and_compares_with_what_was_noted(monkeypatch, capsys, pool):
    head = Archive(pool).verify().head
    words = ("pool", "verify", "--pool", pool)
    assert run(monkeypatch, capsys, *words, "--expect", head)[0] == 0
    assert run(monkeypatch, capsys, *words, "--expect", "0" * 64)[0] == 1
    _, out, _ = run(monkeypatch, capsys, *words, "--json")
    assert json.loads(out)["head"] == head


def test_a_source_is_forgotten_by_its_file_and_the_rest_is_named(
    monkeypatch, capsys, pool, photo, tmp_path
):
    (tmp_path / "pool.store").mkdir()
    (tmp_path / "own.html").write_text("a report with pictures")
    words = ("pool", "forget", str(photo), "--pool", pool)
    _, _, err = run(monkeypatch, capsys, *words, "--dry-run")
    assert "would go" in err
    assert Archive(pool).versions() == ["v1", "v2"]
    _, out, _ = run(monkeypatch, capsys, *words, "--why", "contract ended", "--json")
    told = json.loads(out)
    assert told["tombstone"]["withdrawn"]["pool"] == [GOOD, OTHER, BAD]
    assert told["remaining"] == [str(tmp_path / "pool.store"), str(tmp_path / "own.html")]
    status, _, err = run(monkeypatch, capsys, "pool", "verify", "--pool", pool, "--version", "v1")
    assert status == 0
    assert "holds less than it did" in err
    status, _, err = run(monkeypatch, capsys, "pool", "show", GOOD, "--pool", pool)
    assert (status, "contract ended" in err) == (1, True)
    _, _, err = run(monkeypatch, capsys, "pool", "diff", "v1", "v3", "--pool", pool)
    assert "v1 holds less than it did: 3 images" in err
