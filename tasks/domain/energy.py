"""Energy of a run: measured by counters where there are any, else E = P t, and then marked.

The article's reference line: 70 W x 5 s = 350 J = .097 Wh an image, 1.17 kWh a campaign of 12,000
(it rounds to .1 Wh and 1.2 kWh). A stage that computed is charged its share of what the machine
used meanwhile: of k stages at once each gets 1/k of every interval. A result taken from the cache
costs nothing now; what it cost when it was computed is told apart, as `reused`.
"""

from collections.abc import Iterable, Sequence

from pydantic import Field

from tasks.domain.records import Record

ARTICLE_WATTS, ARTICLE_SECONDS, ARTICLE_IMAGES = 70.0, 5.0, 12_000
JOULES_A_WH = 3600.0
COUNTER_NAMES = {"gpu": "GPU by NVML", "cpu": "CPU by RAPL"}


def article_wh() -> float:
    """Watt-hours an image by the article: 70 W x 5 s."""
    return ARTICLE_WATTS * ARTICLE_SECONDS / JOULES_A_WH


def article_campaign_kwh() -> float:
    """Kilowatt-hours of the article's campaign of 12,000 images."""
    return article_wh() * ARTICLE_IMAGES / 1000


class StageCost(Record):
    """What one stage execution used; `joules` by counter, empty where none could be read."""

    stage: str
    seconds: float = Field(ge=0, description="From start to end")
    share_s: float = Field(ge=0, description="Of these its own, others at once taken off")
    joules: dict[str, float]

    def total_j(self, watts: float) -> float:
        """Joules measured, or estimated at so many watts."""
        return sum(self.joules.values()) if self.joules else watts * self.share_s


class StageEnergy(Record):
    """All executions of one stage in a run; `seconds` are their shares, added up."""

    stage: str
    computed: int
    reused: int
    seconds: float
    joules: float
    reused_joules: float


class RunEnergy(Record):
    """What a run used until it landed.

    `joules` is all of it, `other_joules` the part that no stage can be charged; `reused_joules` is
    what the results it took from the cache cost when they were computed, as far as that is known.
    """

    is_estimate: bool
    method: str
    watts: float
    seconds: float
    joules: float
    other_joules: float
    reused_joules: float
    unknown_reused: int = Field(description="Reused results whose cost was not written down")
    accepted: int
    stages: tuple[StageEnergy, ...]

    @property
    def wh_per_image(self) -> float | None:
        """Wh an accepted image, with what its reused results once cost; None without images."""
        if not self.accepted:
            return None
        return (self.joules + self.reused_joules) / JOULES_A_WH / self.accepted


def run_energy(
    computed: Sequence[StageCost],
    reused: Iterable[tuple[str, StageCost | None]],
    *,
    seconds: float,
    joules: dict[str, float],
    watts: float,
    accepted: int,
    order: Sequence[str] = (),
) -> RunEnergy:
    """The figures of a run.

    Args:
        computed: one cost an execution of this run.
        reused: stage, and the cost at the time if it was kept, of each result from the cache.
        seconds: since the run began.
        joules: of every counter since then; empty without counters.
        watts: mean power assumed where nothing is measured.
        accepted: images.
        order: of the stages; those not named follow as they come.
    """
    known = list(reused)
    total = sum(joules.values()) if joules else watts * seconds
    once = [cost for _, cost in known if cost is not None]
    spent = sum(cost.total_j(watts) for cost in computed)
    is_part_estimated = not joules or any(not cost.joules for cost in (*computed, *once))
    stages = dict.fromkeys(
        [*order, *(cost.stage for cost in computed), *(name for name, _ in known)]
    )
    return RunEnergy(
        is_estimate=is_part_estimated,
        method=_method(joules, once, watts),
        watts=watts,
        seconds=round(seconds, 3),
        joules=total,
        other_joules=max(0.0, total - spent),
        reused_joules=sum(cost.total_j(watts) for cost in once),
        unknown_reused=len(known) - len(once),
        accepted=accepted,
        stages=tuple(_of_stage(name, computed, known, watts) for name in stages),
    )


def _of_stage(
    name: str,
    computed: Iterable[StageCost],
    reused: Iterable[tuple[str, StageCost | None]],
    watts: float,
) -> StageEnergy:
    """One stage's line."""
    now = [cost for cost in computed if cost.stage == name]
    taken = [cost for stage, cost in reused if stage == name]
    return StageEnergy(
        stage=name,
        computed=len(now),
        reused=len(taken),
        seconds=sum(cost.share_s for cost in now),
        joules=sum(cost.total_j(watts) for cost in now),
        reused_joules=sum(cost.total_j(watts) for cost in taken if cost is not None),
    )


def _method(joules: dict[str, float], once: Sequence[StageCost], watts: float) -> str:
    """How the figures were got, in words."""
    if not joules:
        return f"{watts:g} W x time, as no energy counter could be read"
    named = " and ".join(COUNTER_NAMES[name] for name in sorted(joules))
    said = f"measured: {named}, the whole machine's"
    if "cpu" not in joules:
        said += "; the CPU's energy could not be read and is not in it"
    if any(not cost.joules for cost in once):
        said += f"; some reused results estimated at {watts:g} W"
    return said
