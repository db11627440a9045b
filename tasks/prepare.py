"""Prepare: check all that can be checked before any work, and fix what the run begins from."""

from collections.abc import Sequence
from pathlib import Path

from tasks.domain.errors import BadParameters
from tasks.domain.parameters import GrowParams
from tasks.domain.records import Record, Ref, RunContext, Source
from tasks.domain.rounds import run_identity
from tasks.domain.trial_parameters import TrialParams
from tasks.models.model_set import Defaults, open_model_set
from tasks.store.archive import Archive
from tasks.store.files import ContentStore


class RunStart(Record):
    """What a run begins from: its id, the pool's version before it, and that version's rows."""

    run_id: str
    base_version: str | None
    pool_embeddings: Ref
    defaults: Defaults


def prepare_run(params: GrowParams) -> RunContext:
    """The context of a run.

    Raises:
        BadParameters: a folder or a combination of parameters is wrong.
        ModelSetError: the model set is not there.
        ArchiveError: the pool is damaged or was grown by another model set.
    """
    if not Path(params.images).expanduser().exists():
        raise BadParameters(
            f"Expected a folder of images or a manifest, but {params.images!r} is not one"
        )
    prompts = [(spec.kind, spec.prompt) for spec in params.prompts]
    if len(set(prompts)) < len(prompts):
        raise BadParameters("Expected each prompt once a kind, but one stands there twice")
    models = open_model_set(params.models)
    Archive(params.pool).require_model_set(models.fingerprint)
    return _context(params, models.fingerprint)


def prepare_trial(params: TrialParams) -> RunContext:
    """The context of a trial.

    Raises:
        ModelSetError: the model set is not there.
    """
    return _context(params, open_model_set(params.models).fingerprint)


def _context(params: GrowParams | TrialParams, fingerprint: str) -> RunContext:
    """Where the files lie and which models look at them."""
    uri = params.store or default_store(params.pool)
    return RunContext(
        store_uri=uri,
        store_identity=ContentStore(uri).identity,
        models=params.models,
        models_fingerprint=fingerprint,
        device=params.device,
    )


def default_store(pool: str) -> str:
    """Where intermediate files lie when the user names no place: POOL.store."""
    return pool.rstrip("/") + ".store"


def snapshot_pool(params: GrowParams, context: RunContext, sources: Sequence[Source]) -> RunStart:
    """The run's identity, and the embeddings of the version it starts from.

    A run that already landed starts again from where it did then, so that nothing changes.
    """
    archive = Archive(params.pool)
    run_id = run_identity(params, sources, context.models_fingerprint)
    base = archive.base_version_for(run_id)
    ids, rows = archive.embeddings(base)
    models = open_model_set(context.models)
    store = ContentStore(context.store_uri)
    if not len(rows):
        rows = rows.reshape(0, models.embedding_dim)
    return RunStart(
        run_id=run_id,
        base_version=base,
        pool_embeddings=store.put_arrays({"ids": ids, "embeddings": rows}),
        defaults=models.defaults,
    )
