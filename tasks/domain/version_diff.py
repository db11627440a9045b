"""What has changed from one version of a pool to another: images added, removed and re-scored.

With A and B the images of the two versions, accepted or refused: added = B - A, removed = A - B,
re-scored = those of both whose scores, verdict or reasons differ; |A| + added = |B| + removed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import Field

from tasks.domain.funnel import reason_head
from tasks.domain.records import SOUND, Record

ACCEPTED = "accepted"


class Standing(Record):
    """An image as it stands in a version: what was asked, its scores, and its verdict."""

    id: str
    source_id: str
    kind: str
    prompt: str
    is_placebo: bool
    s_i: float
    realism: float
    utility: float
    d_plaus: float
    accepted: bool
    stage: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`accepted`, or the stage and the kind of reason that refused it."""
        if self.accepted:
            return ACCEPTED
        return f"{self.stage}: {reason_head(self.reasons[0]) if self.reasons else 'unnamed'}"


class Rescored(Record):
    """The same image as it stood before and after."""

    before: Standing
    after: Standing


class Tally(Record):
    """How many images of one kind and prompt have one verdict."""

    kind: str
    prompt: str
    verdict: str
    count: int = Field(ge=1)


class Difference(Record):
    """Ids and tallies of what was added, removed and re-scored; ids are sorted.

    A re-scored image is tallied under "before -> after", as are those that `moved` between
    accepted and refused.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    rescored: tuple[Rescored, ...]
    moved: tuple[str, ...]
    unchanged: int = Field(ge=0)
    tallies: dict[str, tuple[Tally, ...]]


def version_difference(before: Mapping[str, Standing], after: Mapping[str, Standing]) -> Difference:
    """What turns one version into another, both by id."""
    added = [after[key] for key in sorted(after.keys() - before.keys())]
    removed = [before[key] for key in sorted(before.keys() - after.keys())]
    both = sorted(before.keys() & after.keys())
    rescored = [
        Rescored(before=before[key], after=after[key]) for key in both if before[key] != after[key]
    ]
    return Difference(
        added=tuple(one.id for one in added),
        removed=tuple(one.id for one in removed),
        rescored=tuple(rescored),
        moved=tuple(one.after.id for one in rescored if one.before.accepted != one.after.accepted),
        unchanged=len(both) - len(rescored),
        tallies={
            "added": _tallies((one, one.verdict) for one in added),
            "removed": _tallies((one, one.verdict) for one in removed),
            "rescored": _tallies(
                (one.after, f"{one.before.verdict} -> {one.after.verdict}") for one in rescored
            ),
        },
    )


def _tallies(verdicts: Iterable[tuple[Standing, str]]) -> tuple[Tally, ...]:
    """Counts by kind, prompt and verdict, in that order; placebos are of the kind `sound`."""
    counts = Counter(
        (SOUND if one.is_placebo else one.kind, one.prompt, verdict) for one, verdict in verdicts
    )
    return tuple(
        Tally(kind=kind, prompt=prompt, verdict=verdict, count=count)
        for (kind, prompt, verdict), count in sorted(counts.items())
    )
