"""The whole `sd15` model set at full size, in its published formats, its weights random."""

import hashlib
import json
from pathlib import Path

import open_clip
import torch
from full_size import write_inpainter, write_single_file
from safetensors.torch import save_file
from segment_anything import sam_model_registry

from flows.models_commands import models_describe

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def write_model_set(folder: Path, *, single_file: bool = False, seed: int = 0) -> Path:
    """All of `sd15`, some 2.9 GB, and its `model_set.json` as `poolstar models describe` writes it.

    Args:
        single_file: the inpainter as one `.safetensors` file with the original names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_sam(folder, seed)
    write_clip(folder / "clip", seed)
    if single_file:
        write_single_file(folder / "inpainting.safetensors", seed)
    else:
        write_inpainter(folder, seed, variant="fp16")
    models_describe(folder)
    return folder


def write_sam(folder: Path, seed: int = 0, *, kind: str = "vit_b") -> Path:
    """A SAM checkpoint, 375 MB, its name ending in the first six digits of its MD5.

    Random heads rate every mask .5 or so and leave its logits near 0: nothing would pass. Here the
    head says 1 and the logits are a hundredfold, so that on some images masks come out.
    """
    torch.manual_seed(seed)
    sam = sam_model_registry[kind]()
    with torch.no_grad():
        sam.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(1.0)
        for head in sam.mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.mul_(100.0)
    path = folder / "sam.pth"
    torch.save(sam.state_dict(), path)
    with path.open("rb") as file:
        digits = hashlib.file_digest(file, "md5").hexdigest()[:6]
    return path.rename(folder / f"sam_{kind}_{digits}.pth")


def write_clip(folder: Path, seed: int = 0) -> Path:
    """CLIP ViT-B-32 as OpenAI's weights need it (quick GELU), 605 MB: open_clip's own folder."""
    torch.manual_seed(seed)
    name = "ViT-B-32-quickgelu"
    model = open_clip.create_model(name, precision="fp32")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    config = {
        "model_cfg": open_clip.get_model_config(name),
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1))
    return folder
