"""Stable Diffusion 1.5 inpainting at full size, weights random: a diffusers folder, or one file."""

from pathlib import Path

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

from tasks.models.single_file import clip_tokenizer


def write_inpainter(folder: Path, seed: int = 0, *, variant: str | None = None) -> Path:
    """The pipeline of `stable-diffusion-inpainting`, fp16 safetensors, some 2.1 GB.

    Args:
        variant: `fp16` names the weights as the published folder does.
    """
    random_pipeline(seed).save_pretrained(folder / "inpainting", variant=variant)
    return folder / "inpainting"


def write_single_file(path: Path, seed: int = 0) -> Path:
    """The same weights in one file under their original names, fp16."""
    pipeline = random_pipeline(seed)
    weights = original_checkpoint(
        pipeline.unet.state_dict(), pipeline.vae.state_dict(), pipeline.text_encoder.state_dict()
    )
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    return path


def random_pipeline(seed: int) -> StableDiffusionInpaintPipeline:
    """The pipeline in half precision; equal seeds give equal weights."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionInpaintPipeline(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                num_attention_heads=12, max_position_embeddings=77, projection_dim=768,
                bos_token_id=49406, eos_token_id=49407, pad_token_id=1,
            )
        ),
        tokenizer=clip_tokenizer(),
        unet=UNet2DConditionModel(
            sample_size=64, in_channels=9, out_channels=4,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
            cross_attention_dim=768, attention_head_dim=8,
        ),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
            set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.half()
    return pipeline
