"""Adapt: the base's decoder and inpainter trained on the plant's windows, within the time given."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.logging import get_run_logger
from upath import UPath

from tasks.adapt_windows import KindShape
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.records import Record, Ref, RunContext
from tasks.domain.shapes import DefectShape
from tasks.judge import concatenated
from tasks.models.device import resolve_device
from tasks.models.loading import verified
from tasks.stage import stage
from tasks.store.files import ContentStore

if TYPE_CHECKING:
    from tasks.models.training.adaptation import Recipe
    from tasks.models.training.plant import Budget
    from tasks.models.training.plant_samples import PlantWindows

LEARNING_PART = 0.75  # of the time; the rest is for judging
LARGE_BASE = 100_000_000  # weights from which a base is adapted by LoRA
LARGE_RANK, LARGE_BATCH, BATCH = 16, 2, 16
PLAIN_SHAPE = DefectShape(length_px=20, width_px=12, angle_deg=0, stray=0, parts=1)


class Learned(Record):
    """What learning leaves: files by their path below the inpainter's folder, words, figures.

    `is_adapter` says that the files lie over the base's, which stay as they are; `prompts` are the
    words of each kind with its new token.
    """

    files: dict[str, Ref]
    is_adapter: bool
    prompts: dict[str, str]
    figures: dict[str, float]
    losses: dict[int, float]


@stage(version=1, run_name="adapt {context.models}", needs_gpu=True)
def adapt_inpainter(
    learning: Sequence[Ref],
    judging: Sequence[Ref],
    words: Mapping[str, str],
    sound_prompt: str,
    shapes: Sequence[KindShape],
    context: RunContext,
    params: AdaptParams,
) -> Learned:
    """The inpainter after learning; killed, it goes on from its checkpoints.

    Args:
        learning, judging: windows of parts that are learned from, and of parts held out.
        words: the words of each kind.
        shapes: of the learned defects; a sound window's region looks like one of them.
    """
    import torch

    from tasks.models.inpainter import load_pipeline
    from tasks.models.training.plant import adapt_pipeline
    from tasks.models.training.plant_samples import Augmentation, Wording

    store = ContentStore(context.store_uri)
    models = verified(context.models, context.models_fingerprint)
    pipeline = load_pipeline(models.path_of(models.inpainter), torch.float32)
    pipeline.to(resolve_device(context.device))
    recipe = _recipe(pipeline, params)
    trained = adapt_pipeline(
        pipeline, _windows(store, learning), _windows(store, judging),
        Wording(dict(words), sound_prompt), [one.shape for one in shapes] or [PLAIN_SHAPE],
        work=_work_folder(context, learning, judging, words, params),
        budget=_budget(params, is_large=recipe.lora_rank > 0), recipe=recipe,
        fair=Augmentation(**params.fair.model_dump()), copies=params.learning.copies,
        log=get_run_logger().info,
    )  # fmt: skip
    paths = sorted(path for path in trained.folder.rglob("*") if path.is_file())
    return Learned(
        files={p.relative_to(trained.folder).as_posix(): store.put(p.read_bytes()) for p in paths},
        is_adapter=recipe.lora_rank > 0,
        prompts=trained.wording.full(),
        figures={
            "steps": trained.adapted.steps, "best_step": trained.adapted.best_step,
            "decoder_steps": trained.decoder_steps, "lora_rank": recipe.lora_rank,
            "seconds_per_step": round(trained.adapted.seconds_per_step, 3),
        },
        losses=trained.adapted.losses,
    )  # fmt: skip


def _windows(store: ContentStore, refs: Sequence[Ref]) -> "PlantWindows":
    """Batches of windows as the trainer takes them."""
    from tasks.models.training.plant_samples import PlantWindows

    arrays: Mapping[str, Any] = concatenated(store, refs)
    return PlantWindows(
        arrays["image"], arrays["surface"], arrays["defect"], arrays["kind"].tolist()
    )


def _recipe(pipeline: Any, params: AdaptParams) -> "Recipe":
    """How to train: all weights of a small base, LoRA in a large one."""
    from tasks.models.training.adaptation import Recipe

    learning = params.learning
    weights = sum(one.numel() for one in pipeline.unet.parameters())
    is_large = weights >= LARGE_BASE
    rank, batch = (LARGE_RANK, LARGE_BATCH) if is_large else (0, BATCH)
    return Recipe(
        batch=learning.batch_size or batch, learning_rate=learning.learning_rate,
        sound_share=learning.sound_share, caption_dropout=learning.caption_dropout,
        check_every=learning.check_every, seed=params.run_seed,
        lora_rank=rank if learning.lora_rank is None else learning.lora_rank,
    )  # fmt: skip


def _budget(params: AdaptParams, *, is_large: bool) -> "Budget":
    """Steps or seconds of both trainings; a large base's decoder is trained when asked for."""
    from tasks.models.training.plant import Budget

    learning = params.learning
    seconds = 60 * params.minutes * LEARNING_PART
    decoder_steps = 0 if is_large and learning.decoder_steps is None else learning.decoder_steps
    share = 0.0 if decoder_steps == 0 else learning.decoder_share
    return Budget(decoder_steps, seconds * share, learning.steps, seconds * (1 - share))


def _work_folder(
    context: RunContext,
    learning: Sequence[Ref],
    judging: Sequence[Ref],
    words: Mapping[str, str],
    params: AdaptParams,
) -> Path:
    """Where the checkpoints of this very learning lie, on this machine's disk."""
    told = {"learning": params.learning, "fair": params.fair}
    material = [
        context.models_fingerprint, *(ref.sha256 for ref in (*learning, *judging)),
        json.dumps(dict(words), sort_keys=True), str(params.run_seed), str(params.minutes),
        *(one.model_dump_json() for one in told.values()),
    ]  # fmt: skip
    name = hashlib.sha256("\n".join(material).encode()).hexdigest()[:16]
    root = UPath(context.store_uri)
    if root.protocol not in {"", "file"}:
        root = UPath(Path.home() / ".cache" / "poolstar")
    return Path(str(root)) / "adapt" / name
