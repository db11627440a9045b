"""Candidates made elsewhere, between the stages of a run, and what became of each."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from tasks.domain.errors import BadInput
from tasks.domain.records import (
    Bead,
    Candidate,
    ForeignEdit,
    Pair,
    Record,
    Refusal,
    Source,
    Stage,
)
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


def take_in(
    grown: Grown, adopted: Iterable[Sequence[Candidate | Refusal]], allow_generation: int
) -> list[Source]:
    """Remember candidates made elsewhere, each once, with their sources and beads.

    Defects are judged on sound parts only: a source that is known as defective is a refusal; so is
    a candidate of a generation above the one allowed.

    Returns:
        The sources that were not among the run's images.
    """
    known = {source.id: source for source in grown.sources}
    names: dict[str, str] = {}
    new: list[Source] = []
    for one in chain.from_iterable(adopted):
        if isinstance(one, Refusal):
            grown.refusals.append(one)
            continue
        source, name = one.plan.source, _edit_of(one).name
        if reason := _reason_against(one, names, known, allow_generation):
            grown.refusals.append(Refusal(subject=name, stage=Stage.ADOPT, reason=reason))
            continue
        names[one.id] = name
        grown.candidates.append(one)
        grown.beads.setdefault(source.id, one.plan.bead)
        if source.id not in known:
            known[source.id] = source
            new.append(source)
    grown.sources.extend(new)
    grown.listed += len(new)
    return new


def _reason_against(
    one: Candidate, names: Mapping[str, str], known: Mapping[str, Source], allow_generation: int
) -> str:
    """Why a candidate is not judged at all; empty where it is."""
    source, generation = one.plan.source, _edit_of(one).generation or 0
    if one.id in names:
        return f"copy: the same candidate as {names[one.id]}"
    if known.get(source.id, source).label == "KO":
        return f"on a defective part: its source is {known[source.id].name}, a KO image"
    if generation > allow_generation:
        return f"generation {generation}, allowed are 0 to {allow_generation}"
    return ""


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
        verdict = judged.verdict
        verdicts.append(
            PairVerdict(
                name=_edit_of(judged.candidate).name,
                id=judged.candidate.id,
                accepted=verdict.accepted,
                stage=verdict.stage,
                reasons=verdict.reasons,
            )
        )
    ordered = sorted(verdicts, key=lambda one: one.name)
    return JudgeResult(**dict(result), verdicts=tuple(ordered))


def _edit_of(candidate: Candidate) -> ForeignEdit:
    """What is known of how a candidate was made elsewhere; TypeError for one of our own."""
    edit = candidate.plan.edit
    if not isinstance(edit, ForeignEdit):
        raise TypeError(f"Expected a candidate made elsewhere, but {candidate.id} is our own")
    return edit


def _pair_refusals(refusals: Iterable[Refusal]) -> list[Refusal]:
    """The refusals that are pairs', not real images'."""
    return [one for one in refusals if one.stage not in IMAGE_STAGES]
