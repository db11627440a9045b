"""Stable Diffusion 1.5 inpainting from one .safetensors file, without asking a hub.

The file holds weights alone, under the original checkpoint's names. What else diffusers wants is
here: `sd15_config/` says how the parts are built, and the tokenizer is CLIP's, from the merges that
open_clip ships.
"""

import gzip
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.models.headers import Shapes, header_shapes

if TYPE_CHECKING:
    import torch

CONFIG = Path(__file__).parent / "sd15_config"
MERGES = 49152 - 256 - 2  # as CLIP reads the file that open_clip ships
MAX_TOKENS = 77
CHANNELS = 9  # latents, mask, latents of the masked image
FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"


def require_inpainting(channels: int) -> None:
    """Raise a ValueError for a UNet that was not made for inpainting."""
    if channels != CHANNELS:
        raise ValueError(
            f"its UNet takes {channels} channels, inpainting needs {CHANNELS}: this is plain "
            "Stable Diffusion; take the inpainting one (stable-diffusion-inpainting)"
        )


def load_single_file(path: Path, dtype: "torch.dtype") -> Any:
    """The StableDiffusionInpaintPipeline of a file, on the CPU.

    Raises:
        OSError, ValueError, KeyError: the file is not such a checkpoint.
    """
    from diffusers import StableDiffusionInpaintPipeline

    held = header_shapes(path)
    if FIRST_LAYER not in held:
        raise ValueError(f"it holds no {FIRST_LAYER}, as Stable Diffusion's checkpoints do")
    require_inpainting(held[FIRST_LAYER][1])
    return StableDiffusionInpaintPipeline.from_single_file(
        str(path),
        config=str(CONFIG),
        tokenizer=clip_tokenizer(),
        local_files_only=True,
        dtype=dtype,
        safety_checker=None,
        requires_safety_checker=False,
    )


def converted_shapes(header: Shapes, parts: Mapping[str, Any]) -> dict[str, Shapes]:
    """The weights that such a file gives each part, by diffusers' own conversion of its names.

    Args:
        header: shape of every tensor in the file.
        parts: the models `unet`, `vae` and `text_encoder`; their configurations count.
    """
    import torch
    from diffusers.loaders import single_file_utils as conversion

    weights = {
        name: torch.empty(shape, device="meta", dtype=torch.float16)
        for name, shape in header.items()
    }
    found = {
        "unet": conversion.convert_ldm_unet_checkpoint(dict(weights), dict(parts["unet"].config)),
        "vae": conversion.convert_ldm_vae_checkpoint(dict(weights), dict(parts["vae"].config)),
        "text_encoder": {
            name.removeprefix("text_model."): value
            for name, value in conversion.convert_ldm_clip_checkpoint(weights).items()
        },
    }
    return {
        part: {name: tuple(value.shape) for name, value in named.items()}
        for part, named in found.items()
    }


def clip_tokenizer() -> Any:
    """CLIP's own 49,408 tokens, a transformers CLIPTokenizer."""
    from transformers import CLIPTokenizer

    packed = files("open_clip") / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode().split("\n")[1 : MERGES + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = [chr(code) for code in _printable()]
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += ["".join(merge) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=merges, model_max_length=MAX_TOKENS
    )


def _printable() -> list[int]:
    """The code points by which CLIP writes the 256 bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return shown + [256 + i for i in range(256 - len(shown))]
