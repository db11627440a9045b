"""What is wrong with a model set's weights, by their headers alone: no weight is loaded.

The models are built without memory (torch's `meta` device) from what the folder says of them, and
their weights' names and shapes are compared with those in the files.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.domain.errors import ModelSetError
from tasks.domain.memory_budget import InpainterSize, SegmenterSize, VramBudget, vram_budget
from tasks.models.embedder import WEIGHTS as CLIP_WEIGHTS
from tasks.models.headers import Shapes, header_shapes
from tasks.models.inpainter import variant_of
from tasks.models.model_set import ModelSet
from tasks.models.segmenter import TINY_FORMAT, SamConfig, build_sam, checkpoint_problem
from tasks.models.single_file import CONFIG, converted_shapes, require_inpainting

NAMED = 3


@dataclass
class Inspection:
    """What the headers say: problems, a line each, and what a GPU needs (where none is)."""

    problems: list[str]
    budget: VramBudget | None = None


def inspected(models: ModelSet) -> Inspection:
    """Look at every part of a set; hashes are not computed here, but for SAM's."""
    found = Inspection([])
    sizes: list[Any] = []
    for part, look in (
        ("inpainter", _inpainter), ("segmenter", _segmenter), ("embedder", _embedder),
    ):  # fmt: skip
        try:
            size, problems = look(models)
            sizes.append(size)
            found.problems += [f"{part}: {problem}" for problem in problems]
        except (ModelSetError, OSError, ValueError, KeyError, TypeError, RuntimeError) as exc:
            found.problems.append(f"{part}: {exc}")
    if not found.problems:
        found.budget = vram_budget(*sizes)
    return found


def require_fitting(models: ModelSet) -> None:
    """Raises ModelSetError naming every part whose weights are not there or are another model's."""
    if problems := inspected(models).problems:
        raise ModelSetError(
            f"Expected a whole model set {models.name} at {models.root}, but {'; '.join(problems)}"
        )


def _inpainter(models: ModelSet) -> tuple[InpainterSize, list[str]]:
    """The diffusers folder, or the single file."""
    path = models.path_of(models.inpainter)
    is_single = path.suffix == ".safetensors"
    parts = _on_meta(lambda: _pipeline_parts(CONFIG if is_single else path))
    held = converted_shapes(header_shapes(path), parts) if is_single else _held(path, parts)
    unet, vae = parts["unet"].config, parts["vae"].config
    require_inpainting(held["unet"].get("conv_in.weight", (0, unet.in_channels))[1])
    problems: list[str] = []
    for name, part in parts.items():
        problems += _differences(name, _shapes(part), held[name])
    window_px = unet.sample_size * 2 ** (len(vae.block_out_channels) - 1)
    if window_px != models.native_window_px:
        problems.append(
            f"it paints windows of {window_px} px, the set says {models.native_window_px}"
        )
    size = InpainterSize(
        parameters=sum(_count(_shapes(part)) for part in parts.values()),
        unet_width=unet.block_out_channels[0],
        decoder_width=vae.block_out_channels[1],
        latent_px=unet.sample_size,
        window_px=window_px,
    )
    return size, problems


def _pipeline_parts(folder: Path) -> dict[str, Any]:
    """UNet, autoencoder and text encoder as their configurations say."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    def config(part: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((folder / part / "config.json").read_text())
        return told

    return {
        "unet": UNet2DConditionModel.from_config(config("unet")),
        "vae": AutoencoderKL.from_config(config("vae")),
        "text_encoder": CLIPTextModel(CLIPTextConfig.from_dict(config("text_encoder"))),
    }


def _held(folder: Path, parts: Mapping[str, Any]) -> dict[str, Shapes]:
    """The weights that the folder's files hold."""
    variant = variant_of(folder)
    infix = f".{variant}" if variant else ""
    held = {}
    for name in parts:
        stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        header = header_shapes(folder / name / f"{stem}{infix}.safetensors")
        held[name] = {
            key.removeprefix("text_model.") if name == "text_encoder" else key: shape
            for key, shape in header.items()
        }
    return held


def _segmenter(models: ModelSet) -> tuple[SegmenterSize, list[str]]:
    """The tiny Sam, or a checkpoint under its own name."""
    path, kind = models.path_of(models.segmenter), models.segmenter.format
    if kind == TINY_FORMAT:
        config = SamConfig.model_validate(json.loads((path / "config.json").read_text()))
        sam = _on_meta(lambda: build_sam(config))
        held = header_shapes(path / "model.safetensors")
    else:
        if problem := checkpoint_problem(path):
            raise ModelSetError(problem)
        sam, held = _published_sam(kind, path)
    encoder = sam.image_encoder
    return SegmenterSize(
        parameters=_count(_shapes(sam)),
        heads=encoder.blocks[0].attn.num_heads,
        tokens=encoder.pos_embed.shape[1] * encoder.pos_embed.shape[2],
    ), _differences("sam", _shapes(sam), held)


def _published_sam(kind: str, path: Path) -> tuple[Any, Shapes]:
    """The model of a checkpoint's kind, and the weights that the checkpoint holds."""
    import pickle

    import torch
    from segment_anything import sam_model_registry

    try:
        state = torch.load(path, weights_only=True, map_location="meta")
    except pickle.UnpicklingError as exc:
        raise ModelSetError(f"Expected weights alone in {path.name}, but: {exc}") from exc
    return _on_meta(sam_model_registry[kind.removeprefix("sam_")]), {
        name: tuple(value.shape) for name, value in state.items()
    }


def _embedder(models: ModelSet) -> tuple[int, list[str]]:
    """The open_clip folder."""
    from open_clip import CLIP

    path = models.path_of(models.embedder)
    config = json.loads((path / "open_clip_config.json").read_text())["model_cfg"]
    model = _on_meta(lambda: CLIP(**config))
    problems = _differences("clip", _shapes(model), header_shapes(path / CLIP_WEIGHTS))
    if config["embed_dim"] != models.embedding_dim:
        problems.append(
            f"its embeddings are {config['embed_dim']} wide, the set says {models.embedding_dim}"
        )
    return _count(_shapes(model)), problems


def _on_meta(build: Callable[[], Any]) -> Any:
    """A model whose weights take no memory."""
    import torch

    with torch.device("meta"):
        return build()


def _shapes(model: Any) -> Shapes:
    """Name and shape of every weight that a model keeps."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _differences(what: str, wanted: Shapes, held: Shapes) -> list[str]:
    """A line where weights are missing, and one where they have another shape."""
    missing = sorted(name for name in wanted if name not in held)
    other = sorted(n for n, shape in wanted.items() if n in held and held[n] != shape)
    lines = []
    if missing:
        lines.append(f"{what} lacks {len(missing)} of {len(wanted)} weights: {missing[:NAMED]}")
    if other:
        told = [f"{name} {held[name]}, not {wanted[name]}" for name in other[:NAMED]]
        lines.append(f"{what} has {len(other)} weights of other shapes: {'; '.join(told)}")
    return lines


def _count(shapes: Shapes) -> int:
    """Numbers in all."""
    return sum(math.prod(shape) for shape in shapes.values())
