"""Reproduce: painted rows come again bit for bit, and whatever does not is seen and named."""

import hashlib
import json
import shutil

import lancedb
import numpy as np
import pytest
from command_line import run
from landed import columns, run_row, source_row
from planted import placed_case
from safetensors.torch import load_file, save_file

from tasks.domain.errors import BadInput, ModelSetError
from tasks.domain.parameters import InpaintParams
from tasks.domain.planning import seed_for
from tasks.domain.records import (
    Bead,
    Edit,
    MaskScore,
    PlannedEdit,
    RegionStrategy,
    RunContext,
    Source,
)
from tasks.domain.window import window_around
from tasks.factory.captions import PROMPTS
from tasks.inpaint import inpaint_batch
from tasks.land import _making_columns
from tasks.models.device import half_precision
from tasks.models.model_set import open_model_set
from tasks.reproduce import reproduce, sampled_ids
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.rows import PoolRow, RejectedRow

pytestmark = pytest.mark.slow
KINDS = ("crack", "porosity", "oxidation", "spatter", "undercut", "crack")
FEATHER_PX = 3.0  # not the default: it must come from the record


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Rows and sources of six edits, as grow's own stage paints them; one 16-bit grey source."""
    store = ContentStore(str(tmp_path_factory.mktemp("store")))
    models = open_model_set("tiny")
    context = RunContext(
        store_uri=store._root.path, store_identity=store.identity, models="tiny",
        models_fingerprint=models.fingerprint, device="cpu",
    )  # fmt: skip
    plans = [_plan(store, kind, 40 + i, is_grey=i == 2) for i, kind in enumerate(KINDS)]
    candidates = inpaint_batch.fn(plans, context, InpaintParams(feather_px=FEATHER_PX))
    rows = [
        columns(one.id) | _making_columns(one.plan.edit, models) | {
            "source_id": one.plan.source.id, "kind": one.plan.edit.kind,
            "prompt": one.plan.edit.prompt, "image": store.get(one.image),
            "mask": store.get(one.plan.region), "bead_mask": store.get(one.plan.bead.mask),
            "window_xywh": one.plan.window_xywh,
            "models": json.dumps(models.provenance(one.making)),
        }
        for one in candidates
    ]  # fmt: skip
    sources = [source_row(p.source.id, bytes=store.get(p.source.image)) for p in plans]
    return rows, sources


def _plan(store: ContentStore, kind: str, seed: int, *, is_grey: bool) -> PlannedEdit:
    case = placed_case(kind, seed)
    pixels = case.before[..., 0].astype(np.uint16) * 97 + 5000 if is_grey else case.before
    image, region = store.put_image(pixels), store.put_mask(case.region)
    source = Source(
        id=image.sha256, name="x.png", uri="file:///x", label="OK", kind="sound", image=image,
        width_px=256, height_px=256,
    )  # fmt: skip
    edit = Edit(
        source_id=source.id, kind=kind, prompt=PROMPTS[kind], negative_prompt="blur",
        region=RegionStrategy.PATCH, variant=0, seed=seed_for(0, source.id, kind, 0),
        strength=0.3, guidance_scale=3.0, steps=10, is_placebo=False,
    )  # fmt: skip
    score = MaskScore(total=1, elongation=1, contrast=1, homogeneity=1, centring=1)
    bead = Bead(
        source_id=source.id, mask=store.put_mask(case.bead), score=score, box_xywh=(0, 0, 1, 1)
    )
    return PlannedEdit(
        id=f"{seed:032x}", edit=edit, source=source, bead=bead, region=region,
        window_xywh=window_around(case.region, 64),
    )  # fmt: skip


@pytest.fixture
def pool(painted, tmp_path) -> str:
    """Four accepted rows and two refused ones, and one accepted that was made elsewhere."""
    rows, sources = painted
    foreign = rows[0] | {
        "id": "f" * 32, "maker": "Ada", "maker_file": "0" * 64, "generation": None, "seed": None,
        "strength": None, "guidance_scale": None, "steps": None, "effective_steps": None,
        "negative_prompt": None,
    }  # fmt: skip
    uri = str(tmp_path / "pool")
    Archive(uri).land(
        run_row("r1"),
        pool=[PoolRow(**row) for row in [*rows[:4], foreign]],
        rejected=[RejectedRow(**row, stage="useful", reasons=("x",)) for row in rows[4:]],
        sources=sources,
        embedding_dim=8,
    )
    return uri


def change(pool: str, row_id: str, table: str = "pool", **values) -> None:
    opened = lancedb.connect(pool).open_table(table)
    opened.update(where=f"id = '{row_id}'", values=values)
    opened.tags.update("v1", opened.version)


def test_every_row_comes_again_bit_for_bit(pool, painted):
    ids = sampled_ids(pool, None, None, rejected=True)
    found = {one.id: one for one in reproduce(pool, None, ids)}
    assert set(found) == {row["id"] for row in painted[0]} | {"f" * 32}
    own = [one for one in found.values() if one.id != "f" * 32]
    assert [one.table for one in own].count("rejected") == 2
    assert {(one.state, one.differences, one.changed) for one in own} == {("equal", (), ())}
    foreign = found["f" * 32]
    assert (foreign.state, foreign.holds) == ("foreign", True)
    assert "by Ada" in foreign.note


def test_it_depends_neither_on_company_nor_on_order(pool, painted):
    first, second = painted[0][3]["id"], painted[0][1]["id"]
    found = list(reproduce(pool, None, [first, second]))
    assert [(one.id, one.state) for one in found] == [(first, "equal"), (second, "equal")]


def told_otherwise(row: dict, **update) -> str:
    return json.dumps(json.loads(row["models"]) | update)


def test_a_tampered_record_is_seen(pool, painted, monkeypatch, capsys):
    """Each row changed in another way; the untouched one alone is equal and whole."""
    rows = painted[0]
    change(pool, rows[0]["id"], seed=rows[0]["seed"] + 1)
    change(pool, rows[1]["id"], models=told_otherwise(rows[1], feather_px=0.0))
    change(pool, rows[2]["id"], mask=rows[0]["image"])
    change(pool, rows[4]["id"], "rejected", window_xywh=[250, 0, 64, 64])
    change(pool, rows[5]["id"], "rejected", models="{}")
    change(pool, "f" * 32, image=rows[1]["image"])
    found = {
        one.id: one for one in reproduce(pool, None, sampled_ids(pool, None, None, rejected=True))
    }
    assert [found[row["id"]].state for row in rows] == [
        "different", "different", "different", "equal", "different", "different",
    ]  # fmt: skip
    told = ("metadata",)
    assert [found[row["id"]].changed for row in rows] == [told, told, ("mask",), (), told, told]
    assert found["f" * 32].changed == ("pixels",)
    assert not found["f" * 32].holds
    reseeded = found[rows[0]["id"]].deviation
    assert 5 < reseeded.psnr_db < 45
    assert reseeded.outside_px == 0
    assert "do not fit" in found[rows[4]["id"]].note
    assert "device" in found[rows[5]["id"]].note
    status, out, _ = run(
        monkeypatch, capsys, "pool", "reproduce", rows[3]["id"], "--pool", pool, "--json"
    )
    assert (status, json.loads(out)["counts"]) == (0, {"equal": 1})
    status, _, err = run(monkeypatch, capsys, "pool", "reproduce", rows[0]["id"], "--pool", pool)
    assert status == 1
    assert "PSNR" in err
    assert "CHANGED SINCE IT LANDED: metadata" in err
    assert "0 of 1 painted again" in err


def test_changed_source_bytes_are_not_painted_on(pool, painted):
    row = painted[0][0]
    sources = lancedb.connect(pool).open_table("sources")
    sources.update(where=f"id = '{row['source_id']}'", values={"bytes": b"other"})
    sources.tags.update("v1", sources.version)
    (found,) = reproduce(pool, None, [row["id"]])
    assert (found.state, found.deviation) == ("different", None)
    assert "not those that their id names" in found.note


def test_what_differs_here_is_named(pool, painted):
    row = painted[0][0]
    libraries = json.loads(row["models"])["libraries"] | {"torch": "1.0"}
    told = told_otherwise(
        row, device="cuda", dtype="float16", hardware="NVIDIA T4", libraries=libraries, algorithm=1
    )
    change(pool, row["id"], models=told)
    (found,) = reproduce(pool, None, [row["id"]])
    assert found.state == "equal"  # it was painted here after all
    text = " ".join(found.differences)
    assert "device: cuda in the record, cpu here" in text
    assert "dtype: float16 in the record, float32 here" in text
    assert "hardware: NVIDIA T4 in the record" in text
    assert "version of torch: 1.0 in the record" in text
    assert "version of stage inpaint: 1 in the record" in text


def test_another_model_set_is_an_error_unless_it_is_named(pool, painted):
    row = painted[0][0]
    told = told_otherwise(row, fingerprint="0" * 32)
    change(pool, row["id"], models=told, model_set="line3")
    with pytest.raises(ModelSetError, match="line3 with fingerprint 000000000000"):
        list(reproduce(pool, None, [row["id"]]))
    (found,) = reproduce(pool, None, [row["id"]], "tiny")
    assert found.differences[0].startswith("model set: 000000000000 in the record")


def test_other_weights_in_another_dtype_paint_another_image_and_are_named(pool, painted, tmp_path):
    row, other = painted[0][0], tmp_path / "other"
    unet = "inpainter/unet/diffusion_pytorch_model.safetensors"
    shutil.copytree(open_model_set("tiny").root, other)
    weights = load_file(other / unet)
    weights["conv_out.weight"] *= 0.9
    save_file(weights, other / unet)
    told = json.loads((other / "model_set.json").read_text())
    told["files"][unet] = hashlib.sha256((other / unet).read_bytes()).hexdigest()
    (other / "model_set.json").write_text(json.dumps(told | {"full_precision": False}))
    (found,) = reproduce(pool, None, [row["id"]], str(other))
    assert found.state == "different"
    assert 10 < found.deviation.psnr_db < 60
    assert found.deviation.outside_px == 0
    text = " ".join(found.differences)
    assert (
        f"weights {unet}: {json.loads(row['models'])['weights'][unet][:12]} in the record" in text
    )
    dtype = str(half_precision("cpu")).removeprefix("torch.")
    assert (f"dtype: float32 in the record, {dtype} here" in text) == (dtype != "float32")


def test_a_sample_is_of_what_is_there(pool):
    assert len(sampled_ids(pool, None, 3, rejected=False)) == 3
    assert len(set(sampled_ids(pool, None, 7, rejected=True))) == 7
    with pytest.raises(BadInput, match="at most 5 images"):
        sampled_ids(pool, None, 6, rejected=False)


def test_wrong_ids_unknown_versions_and_empty_pools_are_told(pool, tmp_path, monkeypatch, capsys):
    empty = str(tmp_path / "empty")
    Archive(empty).land(run_row("r1"), pool=[], rejected=[], sources=[], embedding_dim=8)
    for words, said in (
        (("f" * 8, "--pool", empty), "Expected an image of"),
        (("--all", "--pool", empty), "v1, but it holds none; --rejected takes the refused ones"),
        (("--all", "--rejected", "--pool", empty), "but it holds none\n"),
        (("--sample", "3", "--pool", empty), "but it holds none"),
        (("--all", "--pool", str(tmp_path / "no")), "but there is none"),
        (("c" * 9, "--pool", pool), "but got 'ccccccccc'"),
        (("0" * 7, "--pool", pool), "first 8 digits"),
        (("0" * 8, "--pool", pool), "may be 0000"),
        (("--all", "--pool", pool, "--version", "v9"), "Expected one of v1"),
        (("f" * 8, "--all", "--pool", pool), "Expected either ids, or --all"),
        (("--sample", "99", "--pool", pool), "at most 5 images"),
        ((f"{40:032x}", "--pool", pool, "--models", str(tmp_path)), "Expected a model set"),
    ):
        status, out, err = run(monkeypatch, capsys, "pool", "reproduce", *words)
        assert (status in {1, 2}, out) == (True, ""), words
        assert said in err, words
        assert "Traceback" not in err
    status, _, err = run(monkeypatch, capsys, "pool", "reproduce", "f" * 8, "--pool", pool)
    assert (status, "made elsewhere, by Ada" in err) == (0, True)
