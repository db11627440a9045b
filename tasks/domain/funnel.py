"""The funnel: where everything that came in went, by stage and reason.

listed = sources + refused images;  edits = accepted + refused edits. Images are refused at ingest
and segment, edits at any later stage. A thing refused for several reasons counts once, under the
first, so that rows add up.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pydantic import Field, model_validator

from tasks.domain.errors import BadInput
from tasks.domain.records import Record, Refusal, Stage, Verdict

_IMAGE_STAGES = (Stage.INGEST, Stage.SEGMENT)
_STAGE_ORDER = {stage: index for index, stage in enumerate(Stage)}
_NUMBER = r"(?<![\w.])[-+]?(?:\d*\.?\d+(?:e[-+]?\d+)?|nan\b|inf\b)"
_HASH = r"\b[0-9a-f]{8,}\b"
_SPECIFIC = re.compile(f"{_HASH}|{_NUMBER}")
_HEAD_END = re.compile(f":|{_HASH}|{_NUMBER}")


class FunnelRow(Record):
    """How many were refused at a stage for one kind of reason."""

    stage: Stage
    reason: str
    count: int = Field(ge=1)


class Funnel(Record):
    """The counts of a run; they add up, or the record cannot be made.

    listed: image files found. edits: edits planned, over all rounds. rows: refusals in pipeline
    order, most frequent first within a stage. accepted: by kind, placebos under "sound".
    """

    listed: int = Field(ge=0)
    edits: int = Field(ge=0)
    rows: tuple[FunnelRow, ...]
    accepted: dict[str, int]

    @property
    def images_refused(self) -> int:
        """Image files that did not become a source with a bead."""
        return sum(row.count for row in self.rows if row.stage in _IMAGE_STAGES)

    @property
    def sources(self) -> int:
        """Images with a bead."""
        return self.listed - self.images_refused

    @property
    def edits_refused(self) -> int:
        """Edits that did not reach the pool."""
        return sum(row.count for row in self.rows if row.stage not in _IMAGE_STAGES)

    @property
    def accepted_total(self) -> int:
        """Candidates that reached the pool, placebos among them."""
        return sum(self.accepted.values())

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.images_refused > self.listed:
            raise ValueError(
                f"Expected at most {self.listed} refused images, but got {self.images_refused}"
            )
        if self.edits != self.edits_refused + self.accepted_total:
            raise ValueError(
                f"Expected {self.edits} edits accepted or refused, but got {self.accepted_total} "
                f"and {self.edits_refused}"
            )
        return self


def funnel_of(
    listed: int,
    refusals: Sequence[Refusal],
    verdicts: Sequence[Verdict],
    kinds: Mapping[str, str],
) -> Funnel:
    """The funnel of a run, from everything that was refused or judged.

    Args:
        listed: image files found, refused ones included.
        refusals: images and edits that left before they were candidates.
        verdicts: one a candidate.
        kinds: the kind of defect by candidate id, of every candidate that was made.

    Raises:
        BadInput: a candidate has no verdict, or several, or is unknown; or more images were
            refused than listed.
    """
    _require_one_verdict_each(verdicts, kinds)
    counts = Counter((refusal.stage, reason_head(refusal.reason)) for refusal in refusals)
    counts.update(
        (verdict.stage, reason_head(verdict.reasons[0]))
        for verdict in verdicts
        if verdict.stage is not None
    )
    accepted = Counter(kinds[verdict.candidate_id] for verdict in verdicts if verdict.accepted)
    images_refused = sum(refusal.stage in _IMAGE_STAGES for refusal in refusals)
    if images_refused > listed:
        raise BadInput(
            f"Expected at most {listed} refused images, but got {images_refused}; "
            "count the refused among the listed, and each once"
        )
    return Funnel(
        listed=listed,
        edits=len(verdicts) + len(refusals) - images_refused,
        rows=_sorted_rows(counts),
        accepted=dict(sorted(accepted.items())),
    )


def reason_head(reason: str) -> str:
    """The part of a reason before its figures, names or colon, by which reasons count together.

    "seam .12 < .35" gives "seam", "no bead: best S_mask 0.51" gives "no bead". A reason that opens
    with a figure keeps its words, "#" for each figure.
    """
    head = _HEAD_END.split(reason, maxsplit=1)[0].rstrip(" \t\n.,;<>=(+-'\"")
    return head.strip() or _SPECIFIC.sub("#", reason).strip() or "unnamed"


def _sorted_rows(counts: Mapping[tuple[Stage, str], int]) -> tuple[FunnelRow, ...]:
    def place(item: tuple[tuple[Stage, str], int]) -> tuple[int, int, str]:
        (stage, reason), count = item
        return _STAGE_ORDER[stage], -count, reason

    ordered = sorted(counts.items(), key=place)
    return tuple(FunnelRow(stage=s, reason=reason, count=n) for (s, reason), n in ordered)


def _require_one_verdict_each(verdicts: Iterable[Verdict], kinds: Mapping[str, str]) -> None:
    times = Counter(verdict.candidate_id for verdict in verdicts)
    wrong = sorted(set(kinds) ^ set(times) | {name for name, n in times.items() if n > 1})
    if wrong:
        raise BadInput(
            f"Expected exactly one verdict a candidate, but not so for {len(wrong)}, "
            f"e.g. {wrong[0]}; judge every candidate once"
        )
