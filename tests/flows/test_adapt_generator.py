"""adapt_generator end to end on rendered parts: what it leaves, what it refuses, and a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from adapt_run import ADAPTATION, quick_base, small_adaptation
from adapted import adapted_tiny
from command_line import run
from flow_runs import stage_states
from PIL import Image
from small_run import small_run

from flows.adapt_generator import adapt_generator
from flows.grow_pool import grow_pool
from flows.simulate_factory import simulate_factory
from tasks.adapt_plant import list_plant
from tasks.adapt_report import AdaptResult
from tasks.adapt_set import settle
from tasks.domain.adapt_parameters import AdaptParams, KindWords
from tasks.domain.adaptation_verdict import AdaptationVerdict
from tasks.domain.errors import BadParameters
from tasks.domain.parameters import FactoryParams, PromptSpec
from tasks.factory.render import TRAINED_KINDS
from tasks.models.inpainter import load_pipeline
from tasks.models.model_set import ModelSet, damaged_files, open_model_set
from tasks.models.training.checkpoints import load_checkpoint
from tasks.store.archive import Archive

UNET = "inpainter/unet/diffusion_pytorch_model.safetensors"
KINDS = ("crack", "porosity")


def candidate(params: AdaptParams) -> ModelSet:
    """The adapted set as it was judged, whatever the verdict."""
    (folder,) = Path(params.out + ".candidates").iterdir()
    return open_model_set(str(folder))


def checkpoints(store: str) -> dict[str, int]:
    """When each checkpoint of the inpainter was written."""
    return {
        str(path): path.stat().st_mtime_ns for path in Path(store, "adapt").rglob("inpainter.pt")
    }


def judged_again(result: AdaptResult, *, is_better: bool) -> AdaptationVerdict:
    return AdaptationVerdict(is_better=is_better, reasons=("said so by a test",))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> ModelSet:
    return quick_base(tmp_path_factory.mktemp("base") / "quick")


@pytest.fixture(scope="module")
def adapted(plant, base, tmp_path_factory):
    params = small_adaptation(plant, tmp_path_factory.mktemp("adapted"), base)
    return params, adapt_generator(params)


@pytest.fixture(scope="module")
def small_plant(tmp_path_factory) -> Path:
    """8 sound parts, 4 cracks and 4 with pores."""
    folder = tmp_path_factory.mktemp("small") / "images"
    simulate_factory(FactoryParams(out=str(folder), ok=8, ko=8, kinds=KINDS, seed=3))
    return folder


# --- what a run leaves -----------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_leaves_a_whole_set_that_is_what_it_says(base, adapted):
    params, result = adapted
    out = Path(params.out)
    models = open_model_set(params.out)
    said = json.loads((out / "ADAPTATION.json").read_text())
    assert said["adapted"] == result.is_adapted == result.judgement.verdict.is_better
    assert tuple(said["reasons"]) == result.reasons
    assert models.fingerprint == result.fingerprint
    assert (models.fingerprint == base.fingerprint) == (not result.is_adapted)
    assert (models.lineage is None) == (not result.is_adapted)
    assert damaged_files(models) == []
    assert damaged_files(candidate(params)) == []
    assert not out.with_name(out.name + ".partial").exists()
    assert damaged_files(base) == []
    assert result.learning["steps"] <= 12
    assert result.learning["decoder_steps"] == 2


@pytest.mark.slow
def test_the_report_shows_every_kind_and_why(adapted):
    _, result = adapted
    page = Path(result.report).read_text()
    assert "<script" not in page
    for kind in TRAINED_KINDS:
        assert f"<h2>{kind}</h2>" in page
    assert "Placebos" in page
    assert ("The base stays" in page) == (not result.is_adapted)
    for reason in result.reasons:
        assert reason.replace("<", "&lt;").replace(">", "&gt;") in page
    assert page.count("data:image/jpeg") >= 8 * (len(TRAINED_KINDS) + 1)


@pytest.mark.slow
def test_another_folder_with_the_same_store_does_not_learn_again(adapted, tmp_path):
    params, result = adapted
    store = params.out + ".store"
    before = checkpoints(store)
    assert len(before) == 1
    again = adapt_generator(
        params.model_copy(update={"out": str(tmp_path / "again"), "store": store})
    )
    assert checkpoints(store) == before
    figures = (one.judgement.figures.base.model_dump_json() for one in (again, result))
    assert len(set(figures)) == 1
    copy = candidate(params.model_copy(update={"out": str(tmp_path / "again")}))
    assert copy.files == candidate(params).files
    states = stage_states("adapt-generator", expected=10)
    first = {name: one for name, one in states.items() if name.split()[0] in {"ingest", "segment"}}
    assert first
    assert set(first.values()) == {"Cached"}


# --- the folder, by the verdict --------------------------------------------------------------


@pytest.fixture(scope="module")
def better(base, adapted, tmp_path_factory) -> ModelSet:
    """The adapted set, were it better."""
    params, result = adapted
    return settle(
        tmp_path_factory.mktemp("settled") / "better", candidate(params).root,
        base, result.judgement.figures, judged_again(result, is_better=True),
    )  # fmt: skip


@pytest.mark.slow
def test_a_better_set_stands_alone_and_tells_its_lineage(base, adapted, better):
    params, result = adapted
    assert damaged_files(better) == []
    assert better.fingerprint != base.fingerprint
    assert better.embedder_fingerprint == base.embedder_fingerprint
    assert better.generation == 0
    assert better.files[UNET] != base.files[UNET]
    lineage = better.lineage
    assert (lineage.base, lineage.base_fingerprint) == ("quick", base.fingerprint)
    assert lineage.base_files == base.files
    assert lineage.generation == 0
    assert lineage.figures["judged"]["adapted"] == json.loads(
        result.judgement.figures.adapted.model_dump_json()
    )
    assert lineage.figures["learning"] == result.learning
    assert set(map(int, lineage.figures["losses"])) == {2, 4, 6, 8, 10, 12}
    names = {one.name for one in lineage.sources}
    listed = list_plant(params)
    files = {file.name for file in listed.files}
    assert len(files) == 30
    assert names <= files
    assert len(names) == len(files) - result.refused == len(lineage.sources)
    held_out = {name for name, group in listed.groups.items() if group in listed.held_out}
    assert held_out & names
    assert names - held_out
    assert better.structure().shape[0] == len(lineage.sources)


@pytest.mark.slow
def test_a_better_set_knows_its_kinds_their_words_and_shapes(base, better):
    assert set(better.kinds) == set(better.prompts) == set(better.shapes) == set(TRAINED_KINDS)
    pipeline = load_pipeline(better.path_of(better.inpainter), torch.float32)
    old = len(load_pipeline(base.path_of(base.inpainter), torch.float32).tokenizer)
    for kind in TRAINED_KINDS:
        assert better.prompts[kind] == f"{base.prompts[kind]} <{kind}>"
        ids = pipeline.tokenizer(better.prompts[kind], add_special_tokens=False).input_ids
        assert [token for token in ids if token >= old] == [ids[-1]]
    assert len(pipeline.text_encoder.get_input_embeddings().weight) == old + len(TRAINED_KINDS)


@pytest.mark.slow
def test_a_pool_grows_by_a_better_set(base, better, plant, tmp_path):
    params = small_run(plant, tmp_path).model_copy(
        update={
            "models": str(better.root), "max_rounds": 1,
            "prompts": tuple(PromptSpec(kind=kind, target=2) for kind in KINDS),
        }
    )  # fmt: skip
    grow_pool(params)
    archive = Archive(params.pool)
    assert archive.verify().ok
    rows = [
        row
        for table in ("pool", "rejected")
        for row in archive._read(table, archive.latest(), None).to_pylist()
    ]
    assert rows
    for row in rows:
        began = json.loads(row["models"])["adapted_from"]
        assert (began["set"], began["fingerprint"]) == ("quick", base.fingerprint)
        assert row["generation"] == 0
        if not row["is_placebo"]:
            assert row["prompt"] == better.prompts[row["kind"]]
    (sources, _) = archive.lineages()[0]
    assert sources == better.lineage.sources


@pytest.mark.slow
def test_a_set_that_is_not_better_leaves_its_base(base, adapted, tmp_path):
    params, result = adapted
    left = settle(
        tmp_path / "base", candidate(params).root, base, result.judgement.figures,
        judged_again(result, is_better=False),
    )  # fmt: skip
    assert left.fingerprint == base.fingerprint
    assert damaged_files(left) == []
    assert json.loads((left.root / "ADAPTATION.json").read_text())["adapted"] is False
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base"]
    described = left.root / "model_set.json"  # a link: who rewrites it would rewrite the base's
    assert not described.samefile(base.root / "model_set.json")


# --- plants that give less -------------------------------------------------------------------


@pytest.mark.slow
def test_sound_parts_alone_teach_the_surface_and_the_report_says_what_they_cannot(
    base, small_plant, tmp_path
):
    shutil.copytree(small_plant / "ok", tmp_path / "images")
    params = small_adaptation(tmp_path / "images", tmp_path, base)
    result = adapt_generator(params)
    page = Path(result.report).read_text()
    assert "Sound images alone" in page
    assert "cannot learn what a defect looks like" in page
    figures = result.judgement.figures
    assert figures.difference.kid is None
    assert figures.adapted.memorised is None
    assert result.judgement.shown.keys() <= {"all"}
    made = candidate(params)
    assert (made.kinds, made.prompts, made.shapes) == (base.kinds, base.prompts, {})
    assert {one.label for one in made.lineage.sources} == {"OK"}
    assert made.files[UNET] != base.files[UNET]


@pytest.mark.slow
def test_defects_without_marks_are_found_and_the_report_calls_them_weak(
    base, small_plant, tmp_path
):
    shutil.copytree(small_plant, tmp_path / "images", ignore=shutil.ignore_patterns("masks"))
    params = small_adaptation(tmp_path / "images", tmp_path, base)
    result = adapt_generator(params)
    page = Path(result.report).read_text()
    assert 1 <= result.weak <= 8
    assert f"The defects of {result.weak} images had neither mask nor box" in page
    assert page.count("no defect found by difference") == 8 - result.weak
    assert candidate(params).shapes


@pytest.mark.slow
def test_images_that_cannot_be_used_cost_themselves_only(base, small_plant, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(small_plant, images)
    masks = {kind: sorted((images / "masks" / kind).iterdir()) for kind in KINDS}
    Image.fromarray(np.full((40, 50), 255, dtype=np.uint8)).save(masks["crack"][0])
    Image.fromarray(np.zeros((256, 256), dtype=np.uint8)).save(masks["porosity"][0])
    (images / "ok" / "broken.png").write_bytes(b"no pixels here")
    result = adapt_generator(small_adaptation(images, tmp_path, base))
    assert (result.refused, result.weak) == (3, 0)
    page = Path(result.report).read_text()
    for reason in ("is 50x40; expected 256x256", "is empty; expected the defect", "broken.png"):
        assert reason in page


# --- kills -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_while_it_learns_and_run_again_ends_in_the_same_weights(
    base, adapted, plant, tmp_path
):
    params = small_adaptation(plant, tmp_path, base)
    process = subprocess.Popen(
        [sys.executable, "-c", ADAPTATION, params.model_dump_json()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    store = params.out + ".store"
    deadline = time.monotonic() + 600
    while not checkpoints(store) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (path,) = checkpoints(store)
    assert load_checkpoint(Path(path))["step"] < 12  # it was at work, not done
    assert not Path(params.out).exists()
    adapt_generator(params)
    assert candidate(params).files == candidate(adapted[0]).files


# --- what is refused -------------------------------------------------------------------------


def spoiled(plant: Path, folder: Path, ok: int = 6, crack: int = 2) -> str:
    """So many sound and cracked parts of the plant."""
    for name, count in (("ok", ok), ("ko/crack", crack)):
        (folder / name).mkdir(parents=True)
        for path in sorted((plant / name).iterdir())[:count]:
            shutil.copy(path, folder / name)
    return str(folder)


@pytest.mark.parametrize(
    ("words", "parts", "said"),
    [
        (["--base", "gpt"], {}, "tiny, sd15 or a folder"),
        (["--base", "empty"], {}, "it has no model_set.json"),
        (["--out", "empty"], {}, "does not exist yet"),
        (["--kind", "rust"], {}, "Expected images of rust, but"),
        (["--kind", "crack"], {"crack": 1}, "crack has one"),
        ([], {"crack": 1}, "crack has one"),
        ([], {"ok": 4}, "5 parts (groups) or more"),
        (["--kind", "crack", "--prompt", "a", "--prompt", "b"], {}, "one --prompt a --kind"),
        (["--kind", "crack", "--kind", "crack"], {}, "each kind once"),
        (["--kind", "sound"], {}, "name of a defect"),
        (["--steps", "0"], {}, "steps"),
        (["--minutes", "0"], {}, "minutes"),
        (["--surface", "bead", "--mask", "m.png"], {}, "exactly with the"),
        (["--surface", "whole"], {"ok": 0, "crack": 0}, "found none"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_one_line_and_nothing_is_written(
    monkeypatch, capsys, plant, tmp_path, words, parts, said
):
    images = spoiled(plant, tmp_path / "images", **parts)
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run(monkeypatch, capsys, "adapt", images, "--out", "new", *words)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_images_that_are_not_there_are_said(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(monkeypatch, capsys, "adapt", "nowhere", "--out", "new")
    assert status == 2
    assert "nowhere" in err
    assert not list(tmp_path.iterdir())


def test_a_base_with_an_adapter_is_no_base(plant, tmp_path):
    part = open_model_set("tiny").inpainter.model_copy(update={"adapter": "adapter"})
    models = adapted_tiny(tmp_path / "lora", [], inpainter=part)
    params = small_adaptation(plant, tmp_path, models)
    with pytest.raises(BadParameters, match=r"adapt tiny again, with all images"):
        adapt_generator(params)


def test_other_kinds_than_those_named_are_left_out_with_a_reason(plant):
    params = small_adaptation(
        plant, plant, open_model_set("tiny"), kinds=(KindWords(kind="crack"),)
    )
    listed = list_plant(params)
    assert {file.kind for file in listed.files} == {"sound", "crack"}
    assert len(listed.refusals) == 10
    assert all("not among --kind" in one.reason for one in listed.refusals)
