"""Candidates made elsewhere, between the stages of a run, and what became of each."""

from collections.abc import Iterable, Sequence
from itertools import chain

from tasks.domain.errors import BadInput
from tasks.domain.records import Bead, ForeignEdit, Pair, Record, Refusal, Source, Stage
from tasks.grown import Grown, GrowResult, Settled

IMAGE_STAGES = (Stage.INGEST, Stage.SEGMENT)
NAMED_AT_MOST = 5


class PairVerdict(Record):
    """What became of one candidate, by its file's name; `id` is None if it never became one."""

    name: str
    id: str | None
    accepted: bool
    stage: Stage | None
    reasons: tuple[str, ...]


class JudgeResult(GrowResult):
    """What a run reports back, candidate by candidate."""

    verdicts: tuple[PairVerdict, ...]


def beads_of_pairs(
    pairs: Sequence[Pair],
    sources: Sequence[Source],
    segmented: Iterable[Sequence[Bead | Refusal]],
) -> list[Bead | Refusal]:
    """The bead of each pair's source, or why it has none; `segmented` is in the sources' order."""
    found = zip(sources, chain.from_iterable(segmented), strict=True)
    by_id = {source.id: one for source, one in found}
    return [by_id[pair.source.id] for pair in pairs]


def require_candidates(grown: Grown) -> None:
    """Raises BadInput, naming the first few reasons, unless there is a candidate to judge."""
    if grown.candidates:
        return
    reasons = [f"{one.subject}: {one.reason}" for one in _pair_refusals(grown.refusals)]
    more = f" and {len(reasons) - NAMED_AT_MOST} more" if len(reasons) > NAMED_AT_MOST else ""
    raise BadInput(
        "Expected candidates that can be judged, but none is: "
        + "; ".join(reasons[:NAMED_AT_MOST])
        + more
    )


def judge_result(result: GrowResult, settled: Settled) -> JudgeResult:
    """The run's result with a verdict a candidate, by name."""
    verdicts = [
        PairVerdict(
            name=one.subject, id=None, accepted=False, stage=one.stage, reasons=(one.reason,)
        )
        for one in _pair_refusals(settled.refusals)
    ]
    for judged in settled.judgement.judged:
        edit, verdict = judged.candidate.plan.edit, judged.verdict
        if isinstance(edit, ForeignEdit):
            verdicts.append(
                PairVerdict(
                    name=edit.name,
                    id=judged.candidate.id,
                    accepted=verdict.accepted,
                    stage=verdict.stage,
                    reasons=verdict.reasons,
                )
            )
    ordered = sorted(verdicts, key=lambda one: one.name)
    return JudgeResult(**dict(result), verdicts=tuple(ordered))


def _pair_refusals(refusals: Iterable[Refusal]) -> list[Refusal]:
    """The refusals that are pairs', not real images'."""
    return [one for one in refusals if one.stage not in IMAGE_STAGES]
