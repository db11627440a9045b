"""judge_candidates end to end: what comes from elsewhere lands as what it is, or says why not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from handed_in import hand_in
from PIL import Image
from planted import cases_of, good_case, hard_seam, nothing_changed, placed_case, spill

from flows.judge_candidates import judge_candidates
from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.parameters import JudgeParams
from tasks.store.archive import Archive
from tasks.store.images import decoded_png
from tasks.store.recorded import Recorded

MAKER = "a <b>stranger</b>"
FAULTY = {  # cases in which the fault is plain; the bench `test_judge_rates` takes all
    hard_seam: (("spatter", 203), ("lack_of_fusion", 205)),
    spill: (("undercut", 204), ("lack_of_fusion", 205)),
    nothing_changed: (("crack", 200), ("porosity", 201)),
}


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory) -> Path:
    """Twelve real defects, planted faults, a copy, and files that cannot be judged."""
    folder = tmp_path_factory.mktemp("foreign") / "pairs"
    for case in cases_of(good_case, 12, 100):
        hand_in(folder, f"good_{case.seed}", case)
    for make, planted in FAULTY.items():
        for kind, seed in planted:
            hand_in(folder, f"{make.__name__}_{seed}", make(placed_case(kind, seed)))
    case = good_case("crack", 100)
    hand_in(folder, "copy", case)
    nearly, change = case.after.copy(), np.abs(case.after.astype(int) - case.before).max(axis=2)
    nearly[change > 8] ^= 1  # where it was edited beyond doubt: the same region is found
    hand_in(folder, "nearly", case, nearly)
    hand_in(folder, "small", case, case.after[:200])
    hand_in(folder, "broken", case)
    (folder / "candidates" / "crack" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def judged(handed_in, plant, tmp_path_factory):
    home = tmp_path_factory.mktemp("judged")
    for label in ("ok", "ko"):  # without masks, whose defects' own edges widen what a seam may be
        shutil.copytree(plant / label, home / "images" / label)
    params = JudgeParams(
        images=str(home / "images"), candidates=str(handed_in), pool=str(home / "pool"),
        maker=MAKER, device="cpu",
    )  # fmt: skip
    return params, judge_candidates(params)


@pytest.mark.slow
def test_real_defects_land_and_faults_are_refused_for_the_right_reasons(judged):
    _, result = judged
    found = {Path(one.name).stem: one for one in result.verdicts}
    assert len(found) == 22
    assert sum(found[name].accepted for name in found if name.startswith("good")) >= 6
    right = {
        "hard_seam_203": "seam", "hard_seam_205": "seam", "spill_204": "inside_share",
        "spill_205": "inside_share", "nothing_changed_200": "nothing changed",
        "nothing_changed_201": "nothing changed", "small": "candidate cannot be used: another size",
        "broken": "candidate cannot be used: not an image",
    }  # fmt: skip
    for name, reason in right.items():
        assert any(one.startswith(reason) for one in found[name].reasons), (name, found[name])
    twice = [found[name] for name in ("good_100", "copy")]
    assert any(one.reasons[:1] and one.reasons[0].startswith("copy") for one in twice)
    near = [found[name] for name in ("good_100", "copy", "nearly")]
    assert sum(one.accepted for one in near) <= 1
    assert result.funnel.edits == 22
    assert result.funnel.accepted_total == result.accepted


@pytest.mark.slow
def test_rows_say_what_was_told_and_invent_nothing(judged, handed_in):
    params, result = judged
    assert Archive(params.pool).verify().ok
    recorded = Recorded(params.pool)
    rows = recorded.rows("v1", recorded.ids("v1", rejected=True))
    files = {one.id: handed_in / one.name for one in result.verdicts if one.id}
    assert {row["id"] for row in rows} == set(files)
    for row in rows:
        assert row["maker"] == MAKER
        unknown = ("seed", "strength", "guidance_scale", "steps", "effective_steps",
                   "negative_prompt", "generation")  # fmt: skip
        assert [row[name] for name in unknown] == [None] * len(unknown)
        assert row["region"] == "derived"
        told = json.loads(row["models"])
        assert set(told["parts"]) == {"segmenter", "embedder"}
        assert not any(name.startswith("inpainter") for name in told["weights"])
        assert "device" not in told
        came = np.asarray(Image.open(files[row["id"]]))
        assert np.array_equal(decoded_png(row["image"]), came)
    sources = recorded.source_bytes("v1", [row["source_id"] for row in rows])
    assert set(sources) == {row["source_id"] for row in rows}


@pytest.mark.slow
def test_the_report_names_the_maker_and_every_file_left_out(judged):
    _, result = judged
    page = Path(result.report).read_text()
    assert "judged on" in page
    assert "<b>stranger" not in page
    assert "by a &lt;b&gt;stranger" in page
    assert "another size than its source" in page
    assert page.count("data:image/jpeg") >= result.accepted


@pytest.mark.slow
def test_foreign_rows_are_checked_but_not_painted_again(judged, monkeypatch, capsys):
    params, result = judged
    words = ("pool", "reproduce", "--all", "--rejected", "--pool", params.pool, "--json")
    status, out, _ = run(monkeypatch, capsys, *words)
    found = json.loads(out)
    assert status == 0
    assert found["counts"] == {"foreign": sum(one.id is not None for one in result.verdicts)}
    assert all("made elsewhere" in one["note"] for one in found["images"])


@pytest.mark.slow
def test_the_same_again_changes_nothing(judged):
    params, result = judged
    again = judge_candidates(params)
    assert (again.version, again.manifest, again.verdicts) == (
        result.version, result.manifest, result.verdicts,
    )  # fmt: skip
    assert Archive(params.pool).versions() == ["v1"]


@pytest.mark.slow
def test_nothing_to_judge_lands_nothing(plant, tmp_path):
    case = good_case("crack", 100)
    hand_in(tmp_path / "pairs", "same", case, case.before)
    params = JudgeParams(
        images=str(plant), candidates=str(tmp_path / "pairs"), pool=str(tmp_path / "pool"),
        maker="x", device="cpu",
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"none is: candidates/crack/same.png: nothing changed"):
        judge_candidates(params)
    with pytest.raises(BadParameters, match="give --maker"):
        judge_candidates(params.model_copy(update={"maker": None}))
    assert Archive(params.pool).versions() == []
