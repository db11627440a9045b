"""A run small enough for tests: two prompts, two rounds, half a minute."""

from pathlib import Path

from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.factory.captions import PROMPTS

KILLED_RUN = """
import sys
from flows.terminal import quiet_prefect
quiet_prefect()
from flows.grow_pool import grow_pool
from tasks.domain.parameters import GrowParams
print(grow_pool(GrowParams.model_validate_json(sys.argv[1])).manifest)
"""


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
