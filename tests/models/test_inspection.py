"""Weights are told by their headers: whole ones pass, each planted fault is a line of its own."""

import hashlib
import json

import pytest
import torch
from hollow import (
    copy_tiny,
    full_size_weights,
    single_file_weights,
    write_hollow,
    write_hollow_clip,
    write_hollow_folder,
)

from tasks.models.inspection import inspected
from tasks.models.model_set import ModelSet, Part, open_model_set

PLAIN = torch.empty(320, 4, 3, 3, device="meta")


@pytest.fixture(scope="module")
def weights():
    return full_size_weights()


@pytest.fixture
def full_size(tmp_path, monkeypatch):
    """`sd15` but for its SAM, which is the tiny one: a checkpoint has to be read to be known."""
    tiny = copy_tiny(tmp_path / "sd15")
    write_hollow_clip(tiny / "clip")

    def described(path: str) -> ModelSet:
        return open_model_set(str(tiny)).model_copy(
            update={
                "native_window_px": 512,
                "inpainter": Part(format="diffusers", path=path),
                "embedder": Part(format="open_clip_dir", path="clip"),
            }
        )

    return described


def test_the_bundled_set_is_whole():
    assert inspected(open_model_set("tiny")).problems == []


@pytest.mark.parametrize("form", ["folder", "single file"])
def test_full_size_weights_are_whole_in_either_form(full_size, weights, form):
    models = full_size("inpainting" if form == "folder" else "inpainting.safetensors")
    path = models.path_of(models.inpainter)
    if form == "folder":
        write_hollow_folder(path, weights)
    else:
        write_hollow(path, single_file_weights(weights))
    found = inspected(models)
    assert found.problems == []
    assert found.budget is not None
    numbers = sum(v.numel() for part in weights.values() for v in part.values())
    assert numbers == pytest.approx(1.066e9, rel=0.01)
    assert found.budget.weights == pytest.approx(2 * numbers + 4 * 151e6, rel=0.02)
    assert found.budget.while_painting < 6e9


@pytest.mark.parametrize("form", ["folder", "single file"])
def test_plain_stable_diffusion_is_told_from_the_inpainting_one(full_size, weights, form):
    plain = weights | {"unet": weights["unet"] | {"conv_in.weight": PLAIN}}
    models = full_size("inpainting" if form == "folder" else "inpainting.safetensors")
    path = models.path_of(models.inpainter)
    if form == "folder":
        write_hollow_folder(path, plain)
    else:
        write_hollow(path, single_file_weights(plain))
    (problem,) = inspected(models).problems
    assert "takes 4 channels, inpainting needs 9: this is plain Stable Diffusion" in problem


@pytest.mark.parametrize("form", ["folder", "single file"])
def test_a_weight_that_is_missing_and_one_of_another_shape_are_named(full_size, weights, form):
    unet, vae = dict(weights["unet"]), dict(weights["vae"])
    del unet["mid_block.resnets.1.conv2.bias"]
    vae["decoder.conv_in.weight"] = torch.empty(512, 16, 3, 3, device="meta")
    models = full_size("inpainting" if form == "folder" else "inpainting.safetensors")
    path = models.path_of(models.inpainter)
    if form == "folder":
        write_hollow_folder(path, weights | {"unet": unet, "vae": vae})
    else:
        write_hollow(path, single_file_weights(weights | {"unet": unet, "vae": vae}))
    missing, shape = inspected(models).problems
    assert "unet lacks 1 of 686 weights: ['mid_block.resnets.1.conv2.bias']" in missing
    assert "decoder.conv_in.weight (512, 16, 3, 3), not (512, 4, 3, 3)" in shape


def test_a_cut_off_file_and_a_missing_one_are_named(tmp_path):
    folder = copy_tiny(tmp_path / "set")
    unet = folder / "inpainter/unet/diffusion_pytorch_model.safetensors"
    unet.write_bytes(unet.read_bytes()[:-1000])
    (folder / "embedder/open_clip_model.safetensors").unlink()
    first, second = inspected(open_model_set(str(folder))).problems
    assert "inpainter: Expected safetensors in" in first
    assert "embedder: Expected" in second
    assert "open_clip_model.safetensors, but there is none" in second


def test_an_embedder_of_another_width_is_named(tmp_path):
    folder = copy_tiny(tmp_path / "set")
    description = json.loads((folder / "model_set.json").read_text())
    (folder / "model_set.json").write_text(json.dumps(description | {"embedding_dim": 768}))
    assert inspected(open_model_set(str(folder))).problems == [
        "embedder: its embeddings are 512 wide, the set says 768"
    ]


def test_a_sam_checkpoint_of_another_kind_is_named(tmp_path):
    folder = copy_tiny(tmp_path / "set")
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 2, 2, 8)}, folder / "sam.pth")
    digits = hashlib.md5((folder / "sam.pth").read_bytes(), usedforsecurity=False).hexdigest()[:6]
    (folder / "sam.pth").rename(folder / f"sam_vit_b_{digits}.pth")
    models = open_model_set(str(folder)).model_copy(
        update={"segmenter": Part(format="sam_vit_b", path=f"sam_vit_b_{digits}.pth")}
    )
    missing, shape = inspected(models).problems
    assert "segmenter: sam lacks" in missing
    assert "image_encoder.pos_embed (1, 2, 2, 8), not (1, 64, 64, 768)" in shape
