"""Where `sd15` comes from: repositories of the hub at pinned revisions, and SAM's own address.

A revision is a git commit and binds the hash of every file below it. The hub's listing at that
revision tells the hashes, and each file is checked as it arrives; the hashes of SAM's checkpoints
and of CLIP's weights are pinned here as well.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.domain.errors import BadParameters, ModelSetError
from tasks.models.download import WITHOUT_CONNECTION, RemoteFile, fetch
from tasks.models.model_set import ModelSet
from tasks.models.sd15 import INPAINTER_REPOSITORY, INPAINTER_REVISION, describe_sd15
from tasks.models.segmenter import PUBLISHED

SAM_ADDRESS = "https://dl.fbaipublicfiles.com/segment_anything"
SIZES = {"sam_vit_b": 375_042_383, "sam_vit_l": 1_249_524_607, "sam_vit_h": 2_564_550_879}


@dataclass(frozen=True)
class Repository:
    """A repository of the hub: what to take from it, and where that goes.

    Attributes:
        files: small files by their path; a missing one is refused, but for `optional` ones.
        weights: stems of safetensors files; the half-precision variant is taken where there is one.
        digests: sha256 that are known for certain, by path.
    """

    name: str
    revision: str
    folder: str
    files: tuple[str, ...]
    weights: tuple[str, ...]
    optional: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)


INPAINTING = Repository(
    name=INPAINTER_REPOSITORY,
    revision=INPAINTER_REVISION,
    folder="inpainting",
    files=(
        "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
        "tokenizer/merges.txt", "tokenizer/vocab.json", "tokenizer/tokenizer_config.json",
        "unet/config.json", "vae/config.json",
    ),
    optional=("tokenizer/special_tokens_map.json",),
    weights=(
        "text_encoder/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model",
    ),
)  # fmt: skip
CLIP = Repository(  # MIT; OpenAI's own weights name no licence for the weights
    name="laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    revision="1a25a446712ba5ee05982a381eed697ef9b435cf",
    folder="clip",
    files=("open_clip_config.json",),
    weights=("open_clip_model",),
    digests={
        "open_clip_model.safetensors": (
            "ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6"
        )
    },
)
SOURCES = (INPAINTING, CLIP)


def pull_sd15(folder: Path, segmenter: str, say: Callable[[str], None]) -> ModelSet:
    """Bring all of `sd15` into a folder and describe it; called again, it goes on.

    Args:
        segmenter: `sam_vit_b`, `sam_vit_l` or `sam_vit_h`; the set's own, whichever else is there.
        say: told which file is on its way.

    Raises:
        BadParameters: no such segmenter.
        ModelSetError: no connection, no room, a file is not the one it should be.
    """
    checkpoint = _checkpoint(segmenter)
    wanted = [checkpoint]
    for source in SOURCES:
        wanted += _listed(source)
    fetch(wanted, folder, say)
    return describe_sd15(folder, checkpoint=checkpoint.path)


def _checkpoint(kind: str) -> RemoteFile:
    """SAM's checkpoint at its own address."""
    names = {name.rpartition("_")[0]: name for name in PUBLISHED}
    if kind not in names:
        raise BadParameters(f"Expected {', '.join(names)} as segmenter, but got {kind!r}")
    name = names[kind]
    return RemoteFile(
        url=f"{SAM_ADDRESS}/{name}", path=name, size_bytes=SIZES.get(kind), digest=PUBLISHED[name]
    )


def _listed(source: Repository) -> list[RemoteFile]:
    """The files to take, with the hashes that the hub names at the pinned revision."""
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        about = HfApi(endpoint=endpoint).model_info(
            source.name, revision=source.revision, files_metadata=True, timeout=30
        )
    except HfHubHTTPError as exc:
        raise ModelSetError(
            f"Expected {source.name} at revision {source.revision[:12]} on the hub, but: {exc}"
        ) from exc
    except Exception as exc:  # of whichever HTTP library the hub's client uses
        raise ModelSetError(
            f"Expected a connection to the hub for {source.name}, but: {exc}. {WITHOUT_CONNECTION}"
        ) from exc
    known = {one.rfilename: one for one in about.siblings or []}
    return [
        RemoteFile(
            url=hf_hub_url(
                source.name, path, revision=source.revision, endpoint=endpoint
            ),
            path=f"{source.folder}/{path}",
            size_bytes=known[path].size,
            **_digest_of(known[path], source),
        )
        for path in _chosen(source, known)
    ]  # fmt: skip


def _chosen(source: Repository, known: dict[str, Any]) -> list[str]:
    """Paths to take: every file named, and the smaller of each weights' two variants."""
    chosen = [*source.files, *(name for name in source.optional if name in known)]
    for stem in source.weights:
        half, full = f"{stem}.fp16.safetensors", f"{stem}.safetensors"
        chosen.append(half if half in known else full)
    if missing := [name for name in chosen if name not in known]:
        raise ModelSetError(
            f"Expected {', '.join(missing)} in {source.name} at revision {source.revision[:12]}, "
            "but the hub lists none; poolstar reads safetensors alone"
        )
    return chosen


def _digest_of(listed: Any, source: Repository) -> dict[str, Any]:
    """The hash of a listed file: pinned here, or as the hub tells it (a large one's sha256)."""
    pinned: Sequence[str | None] = (
        source.digests.get(listed.rfilename),
        None if listed.lfs is None else listed.lfs.sha256,
    )
    if sha256 := next((one for one in pinned if one), None):
        return {"digest": sha256, "kind": "sha256"}
    return {"digest": listed.blob_id, "kind": "git"}
