"""The figures of README and model card, measured again: `make bench`. Minutes, not seconds."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from independent import KindClassifier
from PIL import Image
from small_run import KILLED_RUN, small_run

from flows.grow_pool import grow_pool
from flows.simulate_factory import simulate_factory
from tasks.domain.parameters import FactoryParams, InpaintParams, PromptSpec, SegmentParams
from tasks.factory.captions import PROMPTS
from tasks.factory.render import SOUND, TRAINED_KINDS, render_weld
from tasks.factory.styles import DEMO_PLANT, random_style
from tasks.factory.windows import window_samples
from tasks.models.inpainter import Inpainter
from tasks.models.model_set import BUNDLED
from tasks.models.segmenter import Segmenter
from tasks.models.training.autoencoder import psnr_db
from tasks.segment import find_bead
from tasks.store.archive import Archive
from tasks.store.images import decoded_png

pytestmark = pytest.mark.bench
PHOTOS = Path(__file__).parents[2].parent / "shared" / "data"
STRENGTHS = (0.35, 0.5, 0.65, 0.8)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("sam_safetensors", BUNDLED["tiny"] / "segmenter", "cpu")


@pytest.fixture(scope="module")
def plant(tmp_path_factory, prefect_server) -> Path:
    folder = tmp_path_factory.mktemp("plant") / "images"
    simulate_factory(FactoryParams(out=str(folder), ok=18, ko=12))
    return folder


def test_rendering(record):
    started = time.perf_counter()
    for seed in range(70):
        render_weld(DEMO_PLANT, (SOUND, *TRAINED_KINDS)[seed % 7], seed)
    milliseconds = (time.perf_counter() - started) / 70 * 1e3
    record("render", value=milliseconds, unit="ms an image")
    assert milliseconds < 30


def test_segmenter_on_200_random_plants(record, segmenter):
    rng = np.random.default_rng(200)
    ious = []
    for seed in range(200):
        weld = render_weld(random_style(rng), (SOUND, *TRAINED_KINDS)[seed % 7], 6_000_000 + seed)
        best, _ = find_bead(segmenter, weld.image_rgb, SegmentParams())
        found = np.zeros_like(weld.bead_mask) if best is None else best[0]
        ious.append((found & weld.bead_mask).sum() / (found | weld.bead_mask).sum())
    record(
        "segmenter", median_iou=float(np.median(ious)), found=float(np.mean(np.array(ious) > 0)),
        unit="of 200 random plants",
    )  # fmt: skip
    assert np.median(ious) >= 0.9


@pytest.mark.parametrize("name", ["weld-photos", "lohi-weld"])
def test_segmenter_on_photographs(record, segmenter, name):
    paths = sorted(
        path for path in (PHOTOS / name).rglob("*")
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"} and "label" not in str(path)
    )  # fmt: skip
    if not paths:
        pytest.skip(f"no photographs at {PHOTOS / name}")
    found = 0
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))
        found += find_bead(segmenter, image, SegmentParams())[0] is not None
    record(f"photos {name}", value=found, unit=f"beads found in {len(paths)} photographs")
    assert found <= len(paths)


def test_autoencoder(record):
    vae = Inpainter.load(BUNDLED["tiny"] / "inpainter", "cpu", full_precision=True)._pipeline.vae
    for name, style in (("random plants", None), ("demo plant", DEMO_PLANT)):
        windows = np.stack([s.image_rgb for s in window_samples(771, 300, style=style)])
        decibels = psnr_db(vae, windows)
        record(f"autoencoder, {name}", value=decibels, unit="dB PSNR")
        assert decibels > 25


def test_prompts_are_named_by_an_independent_classifier(record, plant, tmp_path):
    judge = KindClassifier()
    fresh = list(window_samples(909_090, 300, sound_share=0.0))
    named = judge.names([sample.image_rgb for sample in fresh])
    right = [a == s.kind for a, s in zip(named, fresh, strict=True)]
    record("independent classifier", value=float(np.mean(right)), unit="of fresh KO renders")
    for strength in STRENGTHS:
        params = small_run(plant, tmp_path / str(strength)).model_copy(
            update={
                "prompts": tuple(
                    PromptSpec(kind=k, prompt=PROMPTS[k], target=8) for k in TRAINED_KINDS
                ),
                "inpaint": InpaintParams(strength=strength),
                "max_rounds": 1,
            }
        )
        version = grow_pool(params).version
        figures = {}
        for table in ("pool", "rejected"):
            rows = [
                row
                for row in Archive(params.pool)._read(table, version, None).to_pylist()
                if not row["is_placebo"]
            ]
            windows = [
                decoded_png(row["image"])[y : y + 64, x : x + 64]
                for row in rows
                for x, y, _, _ in [row["window_xywh"]]
            ]
            names = judge.names(windows) if windows else []
            right = [a == row["kind"] for a, row in zip(names, rows, strict=True)]
            figures[table] = {"images": len(rows), "named": float(np.mean(right)) if right else 0}
        record(f"prompt named at strength {strength}", **figures)
        assert figures["pool"]["images"] + figures["rejected"]["images"] >= 48


def test_ten_kills(record, plant, tmp_path):
    params = small_run(plant, tmp_path / "killed")
    started = time.monotonic()
    undisturbed = grow_pool(small_run(plant, tmp_path / "undisturbed"))
    seconds = time.monotonic() - started
    started = time.monotonic()
    again = grow_pool(small_run(plant, tmp_path / "undisturbed"))
    record(
        "run again", value=(time.monotonic() - started) / seconds, unit="of the first run's time"
    )
    assert again.manifest == undisturbed.manifest
    rng = random.Random(11)
    for kill in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED_RUN, params.model_dump_json()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(rng.uniform(6, 12 + 1.5 * kill))
        process.send_signal(signal.SIGKILL)
        process.wait()
        archive = Archive(params.pool)
        assert archive.versions() in ([], ["v1"])
        assert not archive.versions() or archive.verify().ok
    assert grow_pool(params).manifest == undisturbed.manifest
    record("kills", value=10, unit="SIGKILLs survived, same manifest")
