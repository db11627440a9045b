"""grow_pool end to end on rendered parts: what lands, what is cached, what a kill leaves behind."""

import io
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from flow_runs import stage_states
from PIL import Image
from small_run import KILLED_RUN, small_run

from flows.grow_pool import grow_pool
from tasks.domain.energy import RunEnergy
from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.parameters import SegmentParams
from tasks.store.archive import Archive
from tasks.store.images import decoded_mask, decoded_png


def rows_of(pool: str, table: str) -> list[dict]:
    archive = Archive(pool)
    return archive._read(table, archive.latest(), None).to_pylist()


@pytest.fixture(scope="module")
def grown(plant, tmp_path_factory):
    params = small_run(plant, tmp_path_factory.mktemp("grown"))
    started = time.monotonic()
    result = grow_pool(params)
    return params, result, time.monotonic() - started


@pytest.mark.slow
def test_a_run_lands_a_version_that_verifies_and_adds_up(grown):
    params, result, _ = grown
    archive = Archive(params.pool)
    assert archive.versions() == ["v1"] == [result.version]
    assert archive.verify().ok
    assert archive.verify().manifest == result.manifest
    funnel = result.funnel
    assert funnel.listed == 30
    assert funnel.edits == funnel.accepted_total + funnel.edits_refused
    assert result.accepted == funnel.accepted_total == len(rows_of(params.pool, "pool"))
    assert sum(count for kind, count in funnel.accepted.items() if kind != "sound") >= 3
    page = Path(result.report).read_text()
    assert result.manifest in page
    assert "<script" not in page
    assert page.count("data:image/jpeg") >= result.accepted


@pytest.mark.slow
def test_the_run_keeps_what_it_used_stage_by_stage(grown):
    params, result, seconds = grown
    (row,) = Archive(params.pool)._runs("v1")
    energy = RunEnergy.model_validate_json(row["energy"])
    assert energy.joules == pytest.approx(result.joules, abs=0.1)
    assert 0 < energy.seconds < seconds
    stages = {one.stage: one for one in energy.stages}
    assert {"ingest_batch", "segment_batch", "inpaint_batch", "measure_batch"} <= set(stages)
    assert all(one.computed and not one.reused for one in stages.values())
    charged = sum(one.joules for one in energy.stages)
    assert 0.5 * energy.joules < charged <= energy.joules
    assert charged + energy.other_joules == pytest.approx(energy.joules)
    assert energy.accepted == result.accepted


@pytest.mark.slow
def test_nothing_outside_the_mask_changes_in_any_row(grown):
    params, _, _ = grown
    sources = {row["id"]: row["bytes"] for row in rows_of(params.pool, "sources")}
    rows = rows_of(params.pool, "pool") + rows_of(params.pool, "rejected")
    assert len(rows) >= 10
    for row in rows:
        before = np.asarray(Image.open(io.BytesIO(sources[row["source_id"]])))
        after, mask = decoded_png(row["image"]), decoded_mask(row["mask"])
        assert after.shape == before.shape
        assert np.array_equal(after[~mask], before[~mask])
        assert not (mask & ~decoded_mask(row["bead_mask"])).any()
        assert (after[mask] != before[mask]).any()


@pytest.mark.slow
def test_every_row_tells_how_it_was_made(grown):
    params, _, _ = grown
    for row in rows_of(params.pool, "pool"):
        models = json.loads(row["models"])
        assert models["set"] == row["model_set"] == "tiny"
        assert models["device"] == "cpu"
        assert all(len(sha) == 64 for sha in models["weights"].values())
        assert row["effective_steps"] == int(row["steps"] * row["strength"])
        assert row["generation"] == 0
        assert row["s_i"] > 0.7 or row["is_placebo"]
        assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-4)
        gates = json.loads(row["gates"])
        assert {"bead_iou", "seam", "histogram", "change", "p_synthetic", "ko_drop"} <= set(gates)


@pytest.mark.slow
def test_the_same_run_again_computes_nothing_and_changes_nothing(grown):
    params, first, _ = grown
    again = grow_pool(params)
    assert (again.version, again.manifest, again.accepted) == (
        first.version, first.manifest, first.accepted,
    )  # fmt: skip
    states = list(stage_states("grow-pool", expected=7).values())
    assert len(states) >= 7
    assert set(states) == {"Cached"}
    assert again.joules < first.joules


@pytest.mark.slow
def test_another_batch_size_gives_the_same_pool(grown, plant, tmp_path):
    _, first, _ = grown
    other = grow_pool(small_run(plant, tmp_path, batch_size=7))
    assert other.manifest == first.manifest
    assert other.funnel == first.funnel


@pytest.mark.slow
def test_bad_images_cost_themselves_only(plant, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for index, path in enumerate(sorted((plant / "ok").iterdir())[:8]):
        (folder / f"weld {index} ü.png").write_bytes(path.read_bytes())
    (folder / "broken.png").write_bytes(b"no pixels here")
    Image.new("RGB", (256, 256), (90, 90, 90)).save(folder / "plain.png")
    (folder / "copy.png").write_bytes(sorted((plant / "ok").iterdir())[0].read_bytes())
    params = small_run(plant, tmp_path).model_copy(update={"images": str(folder), "max_rounds": 1})
    result = grow_pool(params)
    reasons = {(str(row.stage), row.reason.split(";")[0]): row.count for row in result.funnel.rows}
    assert reasons["ingest", "not an image"] == 1
    assert reasons["ingest", "copy"] == 1
    assert reasons["segment", "no bead"] >= 1
    assert Archive(params.pool).verify().ok


@pytest.mark.slow
def test_a_given_surface_is_what_every_edit_is_drawn_on(plant, tmp_path):
    surface = np.zeros((256, 256), dtype=np.uint8)
    surface[60:200, 20:236] = 255
    Image.fromarray(surface).save(tmp_path / "mask.png")
    segment = SegmentParams(surface="mask", mask=str(tmp_path / "mask.png"))
    params = small_run(plant, tmp_path, segment=segment).model_copy(update={"max_rounds": 1})
    grow_pool(params)
    rows = rows_of(params.pool, "pool") + rows_of(params.pool, "rejected")
    assert len(rows) >= 8
    for row in rows:
        assert np.array_equal(decoded_mask(row["bead_mask"]), surface > 0)
        assert not (decoded_mask(row["mask"]) & (surface == 0)).any()
        assert json.loads(row["gates"])["bead_iou"] == 1


def test_wrong_parameters_stop_before_any_work(plant, tmp_path):
    good = small_run(plant, tmp_path)
    with pytest.raises(BadParameters, match="not one"):
        grow_pool(good.model_copy(update={"images": str(tmp_path / "nowhere")}))
    twice = good.model_copy(update={"prompts": (good.prompts[0], good.prompts[0])})
    with pytest.raises(BadParameters, match="twice"):
        grow_pool(twice)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="found none"):
        grow_pool(good.model_copy(update={"images": str(empty)}))
    assert not (tmp_path / "pool").exists()


def test_too_few_real_images_are_told_before_anything_is_painted(plant, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((plant / "ok").iterdir())[:3]:
        shutil.copy(path, few)
    params = small_run(few, tmp_path)
    with pytest.raises(BadInput, match=r"at least 4 real images with a bead .* but got 3 of 3"):
        grow_pool(params)
    assert Archive(params.pool).latest() is None


@pytest.mark.slow
def test_killed_at_random_moments_and_run_again_ends_in_the_same_manifest(grown, plant, tmp_path):
    """Two kills here; ten in tests/bench. Each run is a process of its own, killed with SIGKILL."""
    _, first, first_seconds = grown
    params = small_run(plant, tmp_path)
    rng = random.Random(7)
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED_RUN, params.model_dump_json()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(rng.uniform(10, 10 + 0.8 * first_seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
        versions = Archive(params.pool).versions()
        assert versions in ([], ["v1"])
        assert not versions or Archive(params.pool).verify().ok
    assert grow_pool(params).manifest == first.manifest
    assert Archive(params.pool).verify().ok
