"""What a run has gathered so far: sources, beads, edits, candidates, and everything refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tasks.domain.calibration import MIN_GROUPS
from tasks.domain.errors import BadInput
from tasks.domain.funnel import Funnel, funnel_of
from tasks.domain.judging import Judgement
from tasks.domain.parameters import GrowParams
from tasks.domain.planning import default_region
from tasks.domain.records import (
    Bead,
    Candidate,
    Edit,
    PlannedEdit,
    Record,
    Ref,
    Refusal,
    RegionStrategy,
    Source,
    SourceFile,
    Stage,
)


class GrowResult(Record):
    """What a run reports back: the version it ends in, where to look, and what to look at.

    `joules` until it landed, `is_energy_estimated` where no counter could be read; `alarms` by the
    guard against the loop.
    """

    version: str
    manifest: str
    accepted: int
    funnel: Funnel
    report: str
    seconds: float
    joules: float
    is_energy_estimated: bool
    alarms: tuple[str, ...]


@dataclass
class Settled:
    """A judged run, ready to land: verdicts, funnel, the sources it used and how they look.

    `described` are the batches of `describe_batch` over the sources; `beads` by source.
    """

    judgement: Judgement
    measured: list[Ref]
    funnel: Funnel
    refusals: list[Refusal]
    sources: list[Source]
    beads: dict[str, Bead]
    described: list[Ref]


@dataclass
class Grown:
    """The state of a run between stages; `edits` are all edits of all rounds so far."""

    listed: int
    sources: list[Source]
    refusals: list[Refusal]
    beads: dict[str, Bead] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    measured: list[Ref] = field(default_factory=list)

    @classmethod
    def of_ingested(
        cls,
        files: Sequence[SourceFile],
        refused: Sequence[Refusal],
        ingested: Iterable[Sequence[Source | Refusal]],
    ) -> "Grown":
        """From the listing and the ingested batches; the same bytes twice count once."""
        sources: dict[str, Source] = {}
        refusals = list(refused)
        for one in (item for part in ingested for item in part):
            if isinstance(one, Refusal):
                refusals.append(one)
            elif one.id in sources:
                reason = f"copy: the same bytes as {sources[one.id].name}"
                refusals.append(Refusal(subject=one.name, stage=Stage.INGEST, reason=reason))
            else:
                sources[one.id] = one
        return cls(len(files) + len(refused), list(sources.values()), refusals)

    def with_beads(self, segmented: Iterable[Sequence[Bead | Refusal]]) -> "Grown":
        """With the beads found; sources without one are refusals from here on.

        Raises:
            BadInput: no sound image is left to edit, or too few real ones to calibrate by.
        """
        found = [item for part in segmented for item in part]
        beads = {one.source_id: one for one in found if isinstance(one, Bead)}
        refusals = [one for one in found if isinstance(one, Refusal)]
        grown = replace(self, beads=beads, refusals=self.refusals + refusals)
        reasons = "; ".join(sorted({refusal.reason for refusal in grown.refusals})[:3])
        if not grown.editable_ids():
            raise BadInput(
                f"Expected sound images with a bead to edit, but none of {self.listed} is: "
                f"{reasons}"
            )
        if (count := len(grown.beads)) < MIN_GROUPS:
            raise BadInput(
                f"Expected at least {MIN_GROUPS} real images with a bead to calibrate what is "
                f"typical, but got {count} of {self.listed}; add images"
                + (f" (refused: {reasons})" if reasons else "")
            )
        return grown

    def begun_anew(self) -> "Grown":
        """The same sources and beads before any edit, with the refusals of ingest and segment."""
        return replace(self, refusals=list(self.refusals), edits=[], candidates=[], measured=[])

    @property
    def real_sources(self) -> list[Source]:
        """Sources with a bead, sorted by id."""
        return sorted((s for s in self.sources if s.id in self.beads), key=lambda s: s.id)

    @property
    def real_beads(self) -> list[Bead]:
        """Their beads, in the same order."""
        return [self.beads[source.id] for source in self.real_sources]

    def editable_ids(self) -> list[str]:
        """Sound sources with a bead: defects are painted on sound parts only."""
        return [source.id for source in self.real_sources if source.label == "OK"]

    def sources_of(self, edits: Sequence[Edit]) -> list[Source]:
        """The source of each edit."""
        by_id = {source.id: source for source in self.sources}
        return [by_id[edit.source_id] for edit in edits]

    def beads_of(self, edits: Sequence[Edit]) -> list[Bead]:
        """The bead of each edit's source."""
        return [self.beads[edit.source_id] for edit in edits]

    def add_plans(
        self, edits: Sequence[Edit], plans: Iterable[Sequence[PlannedEdit | Refusal]]
    ) -> list[PlannedEdit]:
        """Remember a round's edits; returns those whose region could be drawn."""
        self.edits.extend(edits)
        planned = [item for part in plans for item in part]
        self.refusals.extend(one for one in planned if isinstance(one, Refusal))
        return [one for one in planned if isinstance(one, PlannedEdit)]

    def add_candidates(
        self, candidates: Iterable[Sequence[Candidate]], measured: Iterable[Ref]
    ) -> None:
        """Remember a round's candidates and their figures."""
        self.candidates.extend(one for part in candidates for one in part)
        self.measured.extend(measured)

    def settled(self, judgement: Judgement, described: list[Ref]) -> Settled:
        """The run with its verdicts; everything that came in is counted."""
        kinds = {c.id: c.plan.edit.kind for c in self.candidates}
        verdicts = [one.verdict for one in judgement.judged]
        funnel = funnel_of(self.listed, self.refusals, verdicts, kinds)
        return Settled(
            judgement,
            self.measured,
            funnel,
            self.refusals,
            self.real_sources,
            self.beads,
            described,
        )


def strategies_of(params: GrowParams) -> list[RegionStrategy]:
    """The region strategies of a run's prompts, each once, in order."""
    wanted = (spec.region or default_region(spec.kind) for spec in params.prompts)
    return list(dict.fromkeys(wanted))
