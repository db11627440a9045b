"""One file under the original names is the pipeline it was written from; no hub is asked."""

import socket

import open_clip
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from original_keys import original_checkpoint
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from tasks.domain.errors import ModelSetError
from tasks.models import single_file
from tasks.models.inpainter import load_pipeline


def _small(channels: int = 9) -> StableDiffusionInpaintPipeline:
    """Stable Diffusion 1.5's layout (blocks, layers, names), a tenth as wide."""
    torch.manual_seed(0)
    return StableDiffusionInpaintPipeline(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 16, 16, 16), layers_per_block=2, latent_channels=4,
            norm_num_groups=4, sample_size=64,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                num_attention_heads=2, projection_dim=32, bos_token_id=49406, eos_token_id=49407,
            )
        ),
        tokenizer=single_file.clip_tokenizer(),
        unet=UNet2DConditionModel(
            sample_size=8, in_channels=channels, out_channels=4,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            block_out_channels=(16, 32, 32, 32), layers_per_block=2, cross_attention_dim=32,
            attention_head_dim=4, norm_num_groups=8,
        ),
        scheduler=DDIMScheduler(steps_offset=1), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


@pytest.fixture
def _without_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _written(path, pipeline, monkeypatch):
    """The pipeline's weights in one file, read with its own configuration."""
    weights = original_checkpoint(
        pipeline.unet.state_dict(), pipeline.vae.state_dict(), pipeline.text_encoder.state_dict()
    )
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    pipeline.save_pretrained(path.parent / "config")
    monkeypatch.setattr(single_file, "CONFIG", path.parent / "config")
    return weights


@pytest.mark.usefixtures("_without_network")
def test_every_weight_comes_back_without_a_hub(tmp_path, monkeypatch):
    written, path = _small(), tmp_path / "inpainting.safetensors"
    _written(path, written, monkeypatch)
    read = load_pipeline(path, torch.float32)
    for part in ("unet", "vae", "text_encoder"):
        before, after = getattr(written, part).state_dict(), getattr(read, part).state_dict()
        assert before.keys() == after.keys()
        assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert read.scheduler.config.prediction_type == "epsilon"
    assert read.safety_checker is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: {k: v for k, v in w.items() if "input_blocks.0" not in k}, "it holds no"),
        (lambda w: w | {single_file.FIRST_LAYER: torch.zeros(16, 4, 3, 3)}, "takes 4 channels"),
    ],
)
def test_another_checkpoint_is_refused(tmp_path, monkeypatch, spoil, said):
    path = tmp_path / "inpainting.safetensors"
    weights = spoil(_written(path, _small(), monkeypatch))
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    with pytest.raises(ModelSetError, match=said):
        load_pipeline(path, torch.float32)


@pytest.mark.parametrize("text", ["rust on the weld bead", "a crack, 3 mm!", "Schweißnaht", ""])
def test_words_become_the_tokens_that_clip_was_trained_on(text):
    ours = single_file.clip_tokenizer()(text, padding="max_length", max_length=77).input_ids
    theirs = open_clip.get_tokenizer("ViT-B-32")([text])[0].tolist()
    end = theirs.index(49407)
    assert ours[: end + 1] == theirs[: end + 1]
    assert set(ours[end:]) == {49407}  # padded with the end, as Stable Diffusion is
