"""An adaptation small enough for tests, and one in a process of its own, to be killed."""

import shutil
from pathlib import Path

from tasks.domain.adapt_parameters import AdaptParams, LearningParams, SelfJudgementParams
from tasks.models.model_set import BUNDLED, Defaults, ModelSet, open_model_set, write_model_set

ADAPTATION = """
import sys
from flows.terminal import quiet_prefect
quiet_prefect()
from flows.adapt_generator import adapt_generator
from tasks.domain.adapt_parameters import AdaptParams
adapt_generator(AdaptParams.model_validate_json(sys.argv[1]))
"""


def quick_base(folder: Path) -> ModelSet:
    """A copy of the tiny set that paints in 3 steps instead of 17."""
    shutil.copytree(BUNDLED["tiny"], folder)
    described = {"root": folder, "name": "quick", "defaults": Defaults(strength=0.12)}
    write_model_set(open_model_set("tiny").model_copy(update=described))
    return open_model_set(str(folder))


def small_adaptation(images: Path, home: Path, base: ModelSet, **changes) -> AdaptParams:
    """A dozen steps, eight edits a kind."""
    given = {
        "images": str(images), "out": str(home / "adapted"), "base": str(base.root),
        "learning": LearningParams(
            steps=12, decoder_steps=2, batch_size=4, check_every=2, ok_windows=2, ko_windows=4,
            copies=1,
        ),
        "judgement": SelfJudgementParams(edits=8, placebos=8, draws=50),
        "device": "cpu",
    } | changes  # fmt: skip
    return AdaptParams.model_validate(given)
