"""An adapter: LoRA factors, learned tokens and a decoder, in the files that diffusers reads.

`pytorch_lora_weights.safetensors` (peft's factors under diffusers' names), `word_N.safetensors`
(a textual inversion each, its token the name of its one row) and, where it was trained, `vae/`.
Plain diffusers loads them with `load_lora_weights` and `load_textual_inversion`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.domain.errors import ModelSetError

if TYPE_CHECKING:
    import torch

LORA = "pytorch_lora_weights.safetensors"
WORD = "word_{}.safetensors"
VAE = "vae"


def save_adapter(pipeline: Any, folder: Path, tokens: Mapping[str, "torch.Tensor"]) -> None:
    """Write what training moved: the UNet's LoRA factors and one embedding (width,) a token."""
    from diffusers import StableDiffusionInpaintPipeline
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    layers = {k: v.half().contiguous() for k, v in get_peft_model_state_dict(pipeline.unet).items()}
    StableDiffusionInpaintPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    for index, (token, row) in enumerate(tokens.items()):
        save_file({token: row.detach().float().contiguous()}, folder / WORD.format(index))


def merge_adapter(pipeline: Any, folder: Path) -> None:
    """Lay an adapter over a loaded pipeline, merged into its weights: no cost at painting.

    Raises:
        ModelSetError: its files are missing or do not fit the pipeline.
    """
    from diffusers import AutoencoderKL
    from safetensors.torch import load_file

    try:
        for path in sorted(folder.glob(WORD.format("*"))):
            pipeline.load_textual_inversion(load_file(path))
        pipeline.load_lora_weights(folder, weight_name=LORA, use_safetensors=True)
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
        if (folder / VAE).is_dir():
            pipeline.vae = AutoencoderKL.from_pretrained(folder / VAE, dtype=pipeline.vae.dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as exc:
        raise ModelSetError(
            f"Expected an adapter for this pipeline at {folder}, but: {exc}"
        ) from exc
