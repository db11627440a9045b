"""A run small enough for tests: two prompts, two rounds, half a minute."""

from pathlib import Path

from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.factory.captions import PROMPTS


def small_run(plant: Path, home: Path, **changes) -> GrowParams:
    """Two prompts, two rounds: half a minute."""
    return GrowParams(
        images=str(plant),
        pool=str(home / "pool"),
        prompts=tuple(
            PromptSpec(kind=kind, prompt=PROMPTS[kind], target=3) for kind in ("porosity", "crack")
        ),
        max_rounds=2,
        device="cpu",
        **changes,
    )
