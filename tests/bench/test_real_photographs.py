"""Adaptation to real photographs, and the trial of what the adapted sets paint: about an hour each.

POOLSTAR_BENCH names a folder to keep everything in; a second run then goes on where it stopped.
"""

import os
from pathlib import Path

import pytest
from real_photographs import lohi_crops, magnetic_tiles, needs_photographs

from flows.adapt_generator import adapt_generator
from flows.run_trial import run_trial
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.parameters import SegmentParams
from tasks.domain.trial_parameters import (
    DetectorParams,
    GrowthParams,
    MixParams,
    PriceParams,
    SplitParams,
    TrialParams,
)
from tasks.models.model_set import open_model_set

pytestmark = [pytest.mark.bench, needs_photographs]
WHOLE = SegmentParams(surface="whole")
MINUTES = {"tiles": 25.0, "lohi": 20.0}
VIEW_HW_PX = {"tiles": (224, 160), "lohi": (96, 96)}  # about the images' own size
SHOWN = ("recall", "cost", "auroc", "ap", "ece", "robust_recall")


def trial_of(name: str, dataset: Path, pool: Path, models: str) -> TrialParams:
    """The trial of one dataset: five seeds, whole parts."""
    return TrialParams(
        dataset=str(dataset), pool=str(pool), models=models, segment=WHOLE,
        split=SplitParams(leaks="drop"),  # a tile or two stands in both parts, unknown to groups
        arms=("real", "filtered", "unfiltered", "no_gate_3", "classic", "copy_paste"),
        detector=DetectorParams(view_hw_px=VIEW_HW_PX[name]),
        mix=MixParams(shares=(0.0, 0.15, 0.3)),
        price=PriceParams(prevalence=0.015),  # a line's, not the collection's: 14 % would price
        # every miss so high that flagging all parts is cheapest
        grow=GrowthParams(target=80, max_sources=200, max_rounds=2, placebo_share=0.3),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["tiles", "lohi"])
def test_an_adapted_set_on_real_photographs(name, tmp_path, record, prefect_server):
    work = Path(os.environ.get("POOLSTAR_BENCH", tmp_path)) / name
    write = magnetic_tiles if name == "tiles" else lohi_crops
    dataset = write(work)
    out = work / "adapted"
    if not out.exists():
        params = AdaptParams(
            images=str(dataset), out=str(out), segment=WHOLE, minutes=MINUTES[name]
        )
        adapted = adapt_generator(params)
        record(f"adapt_{name}", minutes=adapted.seconds / 60, is_adapted=adapted.is_adapted,
               figures=adapted.judgement.figures.model_dump())  # fmt: skip
    trial = trial_of(name, dataset, work / "pool", str(out))
    result = run_trial(trial)
    for arm in result.arms:
        record(
            f"trial_{name}_{arm.arm}", share=arm.share, models=open_model_set(str(out)).name,
            measures={key: arm.measures[key].model_dump() for key in SHOWN},
            difference={k: v.model_dump() for k, v in arm.difference.items() if k in SHOWN},
        )  # fmt: skip
    assert {arm.arm for arm in result.arms} >= {"real", "filtered"}
