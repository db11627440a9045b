"""Dataset: a trial's images divided by group, and what a pool may be grown from."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.domain.boxes import boxes_text
from tasks.domain.errors import BadInput
from tasks.domain.mix import targets
from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.domain.records import Refusal, SourceFile
from tasks.domain.splits import Division, divided
from tasks.domain.trial_parameters import NightlyParams, TrialParams
from tasks.models.model_set import open_model_set
from tasks.store.archive import Archive
from tasks.store.files import write_whole
from tasks.store.listing import list_images
from tasks.store.trials import Trials


def open_dataset(params: TrialParams) -> tuple[Division, list[Refusal]]:
    """The images of a trial in their parts, and the files refused unread.

    Raises:
        BadInput, BadParameters: see `list_images` and `divided`; nothing has been written then.
    """
    files, refused = list_images(params.dataset)
    return divided(files, params.split, params.folds, params.max_images), refused


def growth_of(
    params: TrialParams, division: Division, prompts: tuple[PromptSpec, ...]
) -> GrowParams:
    """What to grow from the training part alone; its manifest is written beside the pool.

    A remote pool's manifest lies in the user's cache.
    """
    manifest = Path(f"{params.pool.rstrip('/')}.training.csv")
    if "://" in params.pool:
        name = hashlib.sha256(params.pool.encode()).hexdigest()[:16]
        manifest = Path.home() / ".cache" / "poolstar" / f"{name}.training.csv"
    write_whole(manifest, _manifest(_grown_from(division.train, params), division).encode())
    return GrowParams(
        images=str(manifest), pool=params.pool, prompts=prompts, models=params.models,
        run_seed=params.run_seed, placebo_share=params.grow.placebo_share,
        max_rounds=params.grow.max_rounds, device=params.device, store=params.store,
        workers=params.workers, runner=params.runner, ingest=params.ingest, segment=params.segment,
    )  # fmt: skip


def nights_growth(params: NightlyParams) -> GrowParams | None:
    """What to grow tonight, so that the pool is of the size that its last trial recommends.

    The share recommended by the last trial of this dataset is that of the images too (article
    3.4): s of real and synthetic ones together; the default share where there was no trial yet.
    None when nothing is missing, or when the last trial recommends no synthetic images at all.

    Raises:
        BadInput, BadParameters: as `open_dataset` and `prompts_of`.
    """
    trial = params.trial
    division, _ = open_dataset(trial)
    archive, last = Archive(trial.pool), Trials(trial.pool).last(trial.dataset)
    share = trial.mix.default_share if last is None else float(last["recommended_share"])
    version = archive.latest()
    rows = [] if version is None else archive.labels("pool", version)
    own = [row for row in rows if row["generation"] == 0]  # others are never used
    held = Counter(row["kind"] for row in own if not row["is_placebo"])
    known = prompts_of(trial, division)
    wanted = targets(share, len(division.train), held, [one.kind for one in known])
    prompts = tuple(
        one.model_copy(update={"target": min(wanted[one.kind], params.max_target)})
        for one in known
        if one.kind in wanted
    )
    if not prompts:
        return None
    growth = growth_of(trial, division, prompts)
    seed = trial.run_seed + len(archive.versions())  # another night, other edits
    return growth.model_copy(update={"run_seed": seed})


def prompts_of(params: TrialParams, division: Division) -> tuple[PromptSpec, ...]:
    """The prompts given, or one for each kind of the training part the model set has a prompt for.

    Raises:
        BadInput: there is none.
    """
    if params.grow.prompts:
        return params.grow.prompts
    kinds = sorted({file.kind for file in division.train if file.label == "KO"})
    models = open_model_set(params.models)
    known, prompts = models.kinds, models.prompts
    usable = [kind for kind in kinds if kind in prompts and (not known or kind in known)]
    if not usable:
        raise BadInput(
            f"Expected a prompt for the kinds {', '.join(kinds)}, but the model set {models.name} "
            f"has prompts for {', '.join(prompts) or 'none'}; give --kind and --prompt"
        )
    return tuple(
        PromptSpec(kind=kind, prompt=prompts[kind], target=params.grow.target) for kind in usable
    )


def _grown_from(files: Sequence[SourceFile], params: TrialParams) -> list[SourceFile]:
    """All defective files and at most so many sound ones, chosen by the seed."""
    sound = [file for file in files if file.label == "OK"]
    order = np.random.default_rng((params.run_seed, 23)).permutation(len(sound))
    chosen = {sound[i].name for i in order[: params.grow.max_sources]}
    return [file for file in files if file.label == "KO" or file.name in chosen]


def _manifest(files: Sequence[SourceFile], division: Division) -> str:
    """The files as a manifest of absolute paths."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", "label", "kind", "group", "mask", "box"])
    for file in files:
        mask = "" if file.mask is None else str(Path(file.mask).absolute())
        kind = file.kind if file.label == "KO" else ""
        path = str(Path(file.path).absolute())
        group, boxes = division.groups[file.name], boxes_text(file.boxes)
        writer.writerow([path, file.label, kind, group, mask, boxes])
    return buffer.getvalue()
