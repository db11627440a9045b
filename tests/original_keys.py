"""Weights of a diffusers pipeline under the names of the original Stable Diffusion checkpoint.

The inverse of `diffusers.loaders.single_file_utils`: UNet, VAE and text encoder in one mapping.
"""

import re
from collections.abc import Mapping

from torch import Tensor

LAYERS = 2  # a block of the UNet
VAE_BLOCKS = 4
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
VAE_ENDS = {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut"}


def original_checkpoint(
    unet: Mapping[str, Tensor], vae: Mapping[str, Tensor], text: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """All weights by their original names; a 1x1 attention of the VAE is a convolution there."""
    found = {f"model.diffusion_model.{unet_key(name)}": value for name, value in unet.items()}
    for name, value in vae.items():
        is_linear = ".attentions." in name and value.ndim == 2
        found[f"first_stage_model.{vae_key(name)}"] = value[..., None, None] if is_linear else value
    for name, value in text.items():
        inner = name if name.startswith("text_model.") else f"text_model.{name}"
        found[f"cond_stage_model.transformer.{inner}"] = value
    return found


def unet_key(name: str) -> str:
    """`down_blocks.1.resnets.0.conv1.weight` -> `input_blocks.4.0.in_layers.2.weight`."""
    module, _, last = name.rpartition(".")
    if module in UNET_ENDS:
        return f"{UNET_ENDS[module]}.{last}"
    for old, new in UNET_RESNET.items():
        name = re.sub(rf"(resnets\.\d+)\.{old}\.", rf"\1.{new}.", name)
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"middle_block.{2 * int(m[1])}", name)
    name = name.replace("mid_block.attentions.0", "middle_block.1")
    name = re.sub(r"(downsamplers\.0\.)conv\.", r"\1op.", name)
    name = re.sub(r"^down_blocks\.(\d+)\.(\w+)\.(\d+)\.", _input_block, name)
    return re.sub(r"^up_blocks\.(\d+)\.(\w+)\.(\d+)\.", _output_block, name)


def _input_block(found: re.Match[str]) -> str:
    block, what, layer = int(found[1]), found[2], int(found[3])
    if what == "downsamplers":
        return f"input_blocks.{(block + 1) * (LAYERS + 1)}.0."
    return f"input_blocks.{block * (LAYERS + 1) + layer + 1}.{int(what == 'attentions')}."


def _output_block(found: re.Match[str]) -> str:
    block, what, layer = int(found[1]), found[2], int(found[3])
    if what == "upsamplers":
        last = (block + 1) * (LAYERS + 1) - 1
        return f"output_blocks.{last}.{1 if block == 0 else 2}."
    return f"output_blocks.{block * (LAYERS + 1) + layer}.{int(what == 'attentions')}."


def vae_key(name: str) -> str:
    """`decoder.up_blocks.0.resnets.1.norm1.bias` -> `decoder.up.3.block.1.norm1.bias`."""
    for old, new in VAE_ENDS.items():
        name = name.replace(f".{old}.", f".{new}.")
    if ".attentions." in name:
        for old, new in VAE_ATTENTION.items():
            name = name.replace(f".{old}.", f".{new}.")
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    name = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{VAE_BLOCKS - 1 - int(m[1])}", name)
    return name.replace(".resnets.", ".block.").replace(".upsamplers.0.", ".upsample.")
