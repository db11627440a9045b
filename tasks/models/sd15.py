"""The real model set: which files it needs, where they come from, and its `model_set.json`.

A folder holds a SAM checkpoint under its own name, `inpainting/` (the diffusers folder at the
pinned revision, fp16 safetensors) or `inpainting.safetensors` (one file), and `clip/` (open_clip
ViT-B-32). Nothing is downloaded here: a plant behind an air gap copies the folder.
"""

from pathlib import Path

from tasks.domain.errors import ModelSetError
from tasks.models.model_set import Defaults, ModelSet, Part, open_model_set, write_model_set
from tasks.models.segmenter import KINDS, PUBLISHED

INPAINTER_REPOSITORY = "stable-diffusion-v1-5/stable-diffusion-inpainting"
INPAINTER_REVISION = "8a4288a76071f7280aedbdb3253bdb9e9d5d84bb"
NATIVE_WINDOW_PX = 512
EMBEDDING_DIM = 512
SOUND_PROMPT = "a sound weld bead, close-up photograph"


def describe_sd15(
    folder: Path, sound_prompt: str = SOUND_PROMPT, *, checkpoint: str | None = None
) -> ModelSet:
    """Write the folder's `model_set.json` with the hash of every file, and return it.

    Args:
        folder: where the files lie.
        sound_prompt: the plant's words for a surface without defect, the placebos' prompt.
        checkpoint: the SAM checkpoint to use; None: the largest that is there.

    Raises:
        ModelSetError: a part is missing; the message says which and under what name.
    """
    write_model_set(
        ModelSet(
            name="sd15",
            version=INPAINTER_REVISION[:12],
            root=folder,
            native_window_px=NATIVE_WINDOW_PX,
            embedding_dim=EMBEDDING_DIM,
            sound_prompt=sound_prompt,
            defaults=Defaults(),
            segmenter=_segmenter(folder, checkpoint),
            inpainter=_inpainter(folder),
            embedder=Part(format="open_clip_dir", path=_existing(folder, "clip")),
            files={},
        )
    )
    return open_model_set(str(folder))


def _segmenter(folder: Path, checkpoint: str | None) -> Part:
    """The checkpoint named, or the largest SAM that is there; published ones first."""
    for kind in KINDS:
        names = [path.name for path in sorted(folder.glob(f"{kind}_*.pth"))]
        names = [name for name in names if checkpoint in {None, name}]
        if names:
            return Part(format=kind, path=next((n for n in names if n in PUBLISHED), names[0]))
    raise ModelSetError(
        f"Expected one of {', '.join(PUBLISHED)} in {folder}, but none is there; the name of "
        "another checkpoint ends in the first 6 digits of its own MD5 (sam_vit_b_0123ab.pth)"
    )


def _inpainter(folder: Path) -> Part:
    """The diffusers folder, or the single file."""
    if (folder / "inpainting.safetensors").is_file():
        return Part(format="single_file", path="inpainting.safetensors")
    return Part(
        format="diffusers", path=_existing(folder, "inpainting"), revision=INPAINTER_REVISION
    )


def _existing(folder: Path, name: str) -> str:
    if not (folder / name).is_dir():
        raise ModelSetError(f"Expected a folder {name} in {folder}, but there is none")
    return name
