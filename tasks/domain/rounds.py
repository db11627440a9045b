"""Reject and try again: what is still missing after a round, and the identity of a run."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

from tasks.domain.parameters import PromptSpec, RunParams
from tasks.domain.records import Judged, Ref, Source, content_id

T = TypeVar("T")

NOT_IN_IDENTITY = {
    "images", "candidates", "pool", "store", "report", "batch_size", "workers", "runner", "device",
    "energy", "loop",
}  # fmt: skip


def shortfalls(prompts: Sequence[PromptSpec], judged: Iterable[Judged]) -> list[int]:
    """Accepted images still missing, a prompt; never negative."""
    accepted = [
        (one.candidate.plan.edit.kind, one.candidate.plan.edit.prompt)
        for one in judged
        if one.verdict.accepted and not one.candidate.plan.edit.is_placebo
    ]
    return [max(0, spec.target - accepted.count((spec.kind, spec.words))) for spec in prompts]


def batches(items: Sequence[T], size: int) -> list[list[T]]:
    """The items in order, in lists of `size`, the last one shorter."""
    rest = iter(items)
    return [part for _ in range(0, len(items), size) if (part := list(islice(rest, size)))]


def run_identity(
    params: RunParams,
    sources: Iterable[Source],
    models_fingerprint: str,
    surface_mask: Ref | None = None,
    candidate_ids: Iterable[str] = (),
) -> str:
    """The id of a run: equal for equal parameters, images and models, wherever they lie.

    Batch size, workers, device and paths are left out: they must not change what is grown. A given
    mask of the surface counts by its content; candidates made elsewhere count by their ids.
    """
    segment = params.segment.model_copy(update={"mask": None})
    params = params.model_copy(update={"segment": segment})
    settings = params.model_dump_json(exclude=NOT_IN_IDENTITY)
    images = sorted((source.id, source.label, source.kind) for source in sources)
    mask = [] if surface_mask is None else [surface_mask.sha256]
    return content_id(settings, images, models_fingerprint, *mask, *sorted(candidate_ids))
