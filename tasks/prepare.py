"""Prepare: check all that can be checked before any work, and fix what the run begins from."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import BadInput, BadParameters, ImageRefused
from tasks.domain.parameters import (
    GrowParams,
    IngestParams,
    PromptSpec,
    RunParams,
    SegmentParams,
)
from tasks.domain.records import Candidate, KnownPool, Record, RegionStrategy, RunContext, Source
from tasks.domain.rounds import run_identity
from tasks.domain.trial_parameters import TrialParams
from tasks.models.inspection import require_fitting
from tasks.models.model_set import Defaults, ModelSet, open_model_set
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.images import decoded_pixels
from tasks.store.remote import is_remote


class RunStart(Record):
    """What a run begins from: its id, the pool's version before it, and that version's rows."""

    run_id: str
    base_version: str | None
    known: KnownPool
    defaults: Defaults


def with_words(params: GrowParams, models: ModelSet) -> GrowParams:
    """The parameters with every prompt and region settled, from the model set where none is named.

    A prompt not given is the set's own for the kind; a region not given is `learned` where the set
    holds shapes of real defects of the kind. What is given stays.

    Raises:
        BadInput: a kind without a prompt that the set has none for either.
    """
    prompts = tuple(_worded(spec, models) for spec in params.prompts)
    sound = models.sound_prompt if params.sound_prompt is None else params.sound_prompt
    return params.model_copy(update={"prompts": prompts, "sound_prompt": sound})


def _worded(spec: PromptSpec, models: ModelSet) -> PromptSpec:
    """One defect with its prompt and, where the set has learned it, its region."""
    prompt = models.prompts.get(spec.kind) if spec.prompt is None else spec.prompt
    if prompt is None:
        raise BadInput(
            f"Expected a prompt for {spec.kind}: the model set {models.name} has prompts for "
            f"{', '.join(models.prompts) or 'no kind'}; give --prompt, or one of these kinds"
        )
    is_learned = spec.region is None and bool(models.shapes.get(spec.kind))
    region = RegionStrategy.LEARNED if is_learned else spec.region
    return spec.model_copy(update={"prompt": prompt, "region": region})


def prepare_run(params: RunParams) -> RunContext:
    """The context of a run.

    Raises:
        BadParameters: a folder, the surface's mask or a combination of parameters is wrong; or the
            model set learned from generated images, and that is not allowed.
        ModelSetError: the model set is not there, or its weights are another model's.
        ArchiveError: the pool is damaged, half forgotten, or measured by another embedder.
    """
    if not Path(params.images).expanduser().exists():
        raise BadParameters(
            f"Expected a folder of images or a manifest, but {params.images!r} is not one"
        )
    prompts = [(spec.kind, spec.prompt) for spec in params.budgets]
    if len(set(prompts)) < len(prompts):
        raise BadParameters("Expected each prompt once a kind, but one stands there twice")
    models = open_model_set(params.models)
    if isinstance(params, GrowParams):
        _require_generation(models, params)
    Archive(params.pool).require_settled()
    Archive(params.pool).require_model_set(models.embedder_fingerprint)
    return _context(params, models)


def _require_generation(models: ModelSet, params: GrowParams) -> None:
    """Raises BadParameters where the set's images are of a generation that is not allowed."""
    if models.generation > params.loop.allow_generation:
        raise BadParameters(
            f"Expected a model set that makes images of generation {params.loop.allow_generation}, "
            f"but {params.models} learned from generated images: its own are of generation "
            f"{models.generation}, and a loop of generating and training loses what is rare. Use a "
            "set that learned from real images alone, or allow it by name: --allow-generation "
            f"{models.generation} (loop.allow_generation)"
        )


def prepare_trial(params: TrialParams) -> RunContext:
    """The context of a trial.

    Raises:
        BadParameters: the surface's mask cannot be used.
        ModelSetError: the model set is not there, or its weights are another model's.
        ArchiveError: the pool is half forgotten.
    """
    Archive(params.pool).require_settled()
    return _context(params, open_model_set(params.models))


def _context(params: RunParams | TrialParams, models: ModelSet) -> RunContext:
    """Where the files lie and which models look at them; no file is written for a wrong set."""
    require_fitting(models)
    mask = given_surface(params.segment, params.ingest)
    uri = params.store or default_store(params.pool)
    uri = uri if is_remote(uri) else str(Path(uri).absolute())
    return RunContext(
        store_uri=uri,
        store_identity=ContentStore(uri).identity,
        models=params.models,
        models_fingerprint=models.fingerprint,
        device=params.device,
        surface_mask=None if mask is None else ContentStore(uri).put_mask(mask),
    )


def given_surface(segment: SegmentParams, ingest: IngestParams) -> NDArray[np.bool_] | None:
    """The inspected surface in the images of a fixed camera, (H, W); None where no mask is given.

    A mask has one or two values; the surface is where it is not 0.

    Raises:
        BadParameters: the file is missing, no image, empty, or has other values, as a photograph or
            a mask saved as JPEG.
    """
    if segment.mask is None:
        return None
    try:
        data = Path(segment.mask).expanduser().read_bytes()
        pixels = decoded_pixels(data, max_pixels=ingest.max_pixels, min_side_px=1)
    except (OSError, ImageRefused) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise BadParameters(
            f"Expected an image as mask of the surface at {segment.mask}, but: {reason}"
        ) from exc
    values = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    levels = np.unique(values)
    if not levels.any():
        raise BadParameters(
            f"Expected a mask of the surface at {segment.mask}, but it is empty: every pixel is 0"
        )
    if len(levels) > 2 or (len(levels) == 2 and levels[0] > 0):
        raise BadParameters(
            f"Expected a mask of black and white at {segment.mask}, but it has values of "
            f"{levels[0]} to {levels[-1]}, {len(levels)} in all; a JPEG does not keep a mask, a "
            "PNG does"
        )
    return np.asarray(values > 0)


def default_store(pool: str) -> str:
    """Where intermediate files lie when the user names no place: POOL.store."""
    return pool.rstrip("/") + ".store"


def forgotten_sources(pools: Iterable[str]) -> dict[str, str]:
    """Why each source that was withdrawn from one of the pools may not come back, by its id."""
    graves = [grave for pool in pools for grave in Archive(pool).tombstones()]
    return {grave.source_id: grave.reason for grave in graves}


def snapshot_pool(
    params: RunParams,
    context: RunContext,
    sources: Sequence[Source],
    candidates: Sequence[Candidate] = (),
) -> RunStart:
    """The run's identity, and the version it starts from.

    A run that already landed starts again from where it did then, so that nothing changes.
    """
    archive = Archive(params.pool)
    run_id = run_identity(
        params,
        sources,
        context.models_fingerprint,
        context.surface_mask,
        [one.id for one in candidates],
    )
    base = archive.base_version_for(run_id)
    return RunStart(
        run_id=run_id,
        base_version=base,
        known=KnownPool(uri=params.pool, version=base, sha256=archive.embeddings_sha256(base)),
        defaults=open_model_set(context.models).defaults,
    )
