"""The bundled set: intact, small, in the libraries' own formats, and as good as its card says."""

import json

import numpy as np
import pytest
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from tasks.domain.errors import ModelSetError
from tasks.domain.parameters import SegmentParams
from tasks.domain.window import window_around
from tasks.factory.captions import PROMPTS
from tasks.factory.render import SOUND, TRAINED_KINDS, render_weld
from tasks.factory.styles import DEMO_PLANT, random_style
from tasks.factory.windows import window_samples
from tasks.models.embedder import Embedder
from tasks.models.inpainter import Inpainter, PaintJob, effective_steps
from tasks.models.model_set import BUNDLED, damaged_files, open_model_set, require_intact
from tasks.models.sd15 import describe_sd15
from tasks.models.segmenter import Segmenter
from tasks.segment import find_bead

TINY = BUNDLED["tiny"]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("sam_safetensors", TINY / "segmenter", "cpu")


@pytest.fixture(scope="module")
def inpainter() -> Inpainter:
    return Inpainter.load(TINY / "inpainter", "cpu", full_precision=True)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.load("open_clip_dir", TINY / "embedder", "cpu")


def test_the_set_is_intact_small_and_pickle_free():
    models = open_model_set("tiny")
    assert damaged_files(models) == []
    sizes = {path.name: path.stat().st_size for path in TINY.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 40e6
    assert not [name for name in sizes if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    assert models.kinds == TRAINED_KINDS
    assert models.prompts == {kind: PROMPTS[kind] for kind in TRAINED_KINDS}
    assert models.sound_prompt == PROMPTS[SOUND]
    assert len(models.fingerprint) == 32


def test_a_changed_weight_is_found_and_named(tmp_path):
    for path in TINY.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(TINY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    weights = tmp_path / "segmenter" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(ModelSetError, match=r"segmenter/model\.safetensors"):
        require_intact(open_model_set(str(tmp_path)))


def test_sets_that_are_not_there_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("POOLSTAR_SD15", raising=False)
    with pytest.raises(ModelSetError, match="POOLSTAR_SD15"):
        open_model_set("sd15")
    with pytest.raises(ModelSetError, match="tiny, sd15 or a folder"):
        open_model_set("gpt")
    with pytest.raises(ModelSetError, match="sam_vit_h_4b8939"):
        describe_sd15(tmp_path)
    (tmp_path / "model_set.json").write_text("{}")
    with pytest.raises(ModelSetError, match="valid"):
        open_model_set(str(tmp_path))


def test_weights_are_never_random(tmp_path):
    (tmp_path / "open_clip_config.json").write_text(
        (TINY / "embedder" / "open_clip_config.json").read_text()
    )
    with pytest.raises(ModelSetError, match="random"):
        Embedder.load("open_clip_dir", tmp_path, "cpu")


def test_the_segmenter_is_a_real_sam(segmenter):
    assert isinstance(segmenter._sam, Sam)
    weld = render_weld(DEMO_PLANT, SOUND, 1)
    config = json.loads((TINY / "segmenter" / "config.json").read_text())
    generator = SamAutomaticMaskGenerator(
        segmenter._sam, points_per_side=8, box_nms_thresh=1.0,
        pred_iou_thresh=config["pred_iou_thresh"],
        stability_score_thresh=config["stability_score_thresh"],
    )  # fmt: skip
    masks = [record["segmentation"] for record in generator.generate(weld.image_rgb)]
    best = max((m & weld.bead_mask).sum() / (m | weld.bead_mask).sum() for m in masks)
    assert best > 0.8


@pytest.mark.slow
def test_beads_are_found_on_fresh_images_of_random_plants(segmenter):
    rng = np.random.default_rng(20261123)
    ious = []
    for seed in range(60):
        kind = (SOUND, *TRAINED_KINDS)[seed % 7]
        weld = render_weld(random_style(rng), kind, 5_000_000 + seed)
        best, _ = find_bead(segmenter, weld.image_rgb, SegmentParams())
        found = np.zeros_like(weld.bead_mask) if best is None else best[0]
        ious.append((found & weld.bead_mask).sum() / (found | weld.bead_mask).sum())
    assert np.median(ious) >= 0.90
    assert np.mean(np.array(ious) > 0) >= 0.92  # 200 images: see the card


@pytest.mark.slow
def test_the_autoencoder_keeps_what_it_sees(inpainter):
    from tasks.models.training.autoencoder import psnr_db

    for style, least in ((None, 31.0), (DEMO_PLANT, 28.5)):  # the card says what was measured
        windows = np.stack([s.image_rgb for s in window_samples(77, 200, style=style)])
        assert psnr_db(inpainter._pipeline.vae, windows) >= least


@pytest.mark.slow
def test_captions_name_the_kind_of_fresh_windows(embedder):
    kinds = (SOUND, *TRAINED_KINDS)
    texts = embedder.embed_text([PROMPTS[kind] for kind in kinds])
    samples = list(window_samples(424242, 250))
    rows = embedder.embed([sample.image_rgb for sample in samples])
    named = (rows @ texts.T).argmax(axis=1)
    assert np.mean([kinds[i] == s.kind for i, s in zip(named, samples, strict=True)]) >= 0.8


def test_an_embedding_does_not_depend_on_its_company(embedder):
    images = [sample.image_rgb for sample in window_samples(3, 40)]
    together, alone = embedder.embed(images), embedder.embed(images[5:6])
    assert np.array_equal(together[5], alone[0])
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert embedder.embed([]).shape == (0, 512)


def jobs(count: int) -> list[PaintJob]:
    made = []
    for seed in range(count):
        weld = render_weld(DEMO_PLANT, SOUND, seed)
        rows, cols = np.nonzero(weld.bead_mask)
        region = np.zeros_like(weld.bead_mask)
        middle = len(rows) // 2
        region[rows[middle] - 6 : rows[middle] + 6, cols[middle] - 8 : cols[middle] + 8] = True
        x, y, w, h = window_around(region, 64)
        made.append(
            PaintJob(
                weld.image_rgb[y : y + h, x : x + w], region[y : y + h, x : x + w],
                PROMPTS["porosity"], "", seed, 0.3, 3.0, 8,
            )
        )  # fmt: skip
    return made


def test_a_painting_does_not_depend_on_its_company(inpainter):
    all_jobs = jobs(3)
    together = inpainter.paint(all_jobs)
    alone = inpainter.paint(all_jobs[1:2])
    assert np.abs(together[1] - alone[0]).max() < 0.01
    assert np.abs(together[1] - together[0]).max() > 5
    assert inpainter.paint([]) == []


def test_effective_steps_are_what_diffusers_runs():
    assert effective_steps(25, 0.35) == 8
    assert effective_steps(25, 1.0) == 25
    assert effective_steps(10, 0.01) == 1
