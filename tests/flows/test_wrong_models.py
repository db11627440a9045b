"""A wrong model set or device ends a run with one message, before anything is written."""

import json

import pytest
import torch
from command_line import run
from diffusers import UNet2DConditionModel
from hollow import copy_tiny

from tasks.models.model_set import open_model_set, write_model_set
from tasks.store.archive import Archive

KIND = ("--kind", "crack", "--surface", "whole", "--target", "1", "--rounds", "1")


def _plain(folder):
    """A text-to-image UNet, and a description that agrees with it."""
    place = folder / "inpainter" / "unet"
    config = json.loads((place / "config.json").read_text()) | {"in_channels": 4}
    UNet2DConditionModel.from_config(config).save_pretrained(place)
    write_model_set(open_model_set(str(folder)))


def _without_clip(folder):
    (folder / "embedder" / "open_clip_model.safetensors").unlink()


def _changed(folder):
    """One byte of the autoencoder's last weight: header and shapes are as they were."""
    path = folder / "inpainter" / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_plain, "takes 4 channels, inpainting needs 9: this is plain Stable Diffusion"),
        (_without_clip, "open_clip_model.safetensors, but there is none"),
        (_changed, "vae/diffusion_pytorch_model.safetensors: sha256"),
    ],
)
def test_a_wrong_set_is_named_and_nothing_is_written(
    monkeypatch, capsys, plant, tmp_path, spoil, said
):
    models = copy_tiny(tmp_path / "models")
    spoil(models)
    pool = tmp_path / "pool"
    words = ("grow", str(plant), "--pool", str(pool), "--models", str(models), *KIND)
    status, _, err = run(monkeypatch, capsys, *words)
    assert status == 1
    assert said in err
    assert not pool.exists()
    assert Archive(str(pool)).versions() == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said_before_any_work(monkeypatch, capsys, plant, tmp_path):
    from flows.grow_pool import grow_pool
    from tasks.domain.errors import BadParameters
    from tasks.domain.parameters import GrowParams, PromptSpec

    params = GrowParams(
        images=str(plant), pool=str(tmp_path / "pool"), device="cuda",
        prompts=(PromptSpec(kind="crack", target=1),),
    )  # fmt: skip
    with pytest.raises(BadParameters, match="torch sees none; use device='cpu'"):
        grow_pool(params)
    assert list(tmp_path.iterdir()) == []
