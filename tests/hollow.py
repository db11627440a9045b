"""Model files at full size that take no disk: true headers over holes, to be looked at, not run."""

import json
import shutil
from collections.abc import Mapping
from math import prod
from pathlib import Path

import open_clip
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from original_keys import original_checkpoint
from transformers import CLIPTextConfig, CLIPTextModel

from tasks.models.model_set import BUNDLED
from tasks.models.single_file import CONFIG


def full_size_weights() -> dict[str, dict[str, torch.Tensor]]:
    """Names and shapes of SD 1.5 inpainting, on the meta device."""

    def config(part: str) -> dict:
        return json.loads((CONFIG / part / "config.json").read_text())

    with torch.device("meta"):
        parts = {
            "unet": UNet2DConditionModel.from_config(config("unet")),
            "vae": AutoencoderKL.from_config(config("vae")),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_dict(config("text_encoder"))),
        }
    return {name: dict(part.state_dict()) for name, part in parts.items()}


def single_file_weights(weights: Mapping[str, Mapping[str, torch.Tensor]]) -> dict:
    """The same under the original checkpoint's names."""
    return original_checkpoint(weights["unet"], weights["vae"], weights["text_encoder"])


def write_hollow(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """A safetensors file, fp16: its header, then a hole of the right length."""
    header, end = {}, 0
    for name, value in weights.items():
        begin, end = end, end + 2 * prod(value.shape)
        about = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [begin, end]}
        header[name] = about
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def write_hollow_folder(folder: Path, weights: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """`inpainting/` as the hub holds it, fp16 variants."""
    shutil.copytree(CONFIG, folder, dirs_exist_ok=True)
    for name, held in weights.items():
        stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        write_hollow(folder / name / f"{stem}.fp16.safetensors", held)


def write_hollow_clip(folder: Path) -> None:
    """`clip/`, ViT-B-32."""
    config = open_clip.get_model_config("ViT-B-32")
    with torch.device("meta"):
        model = open_clip.CLIP(**config)
    write_hollow(folder / "open_clip_model.safetensors", model.state_dict())
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


def copy_tiny(folder: Path) -> Path:
    """The bundled set in another folder, to be spoilt."""
    shutil.copytree(BUNDLED["tiny"], folder)
    return folder
