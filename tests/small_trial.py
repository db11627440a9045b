"""A trial small enough for tests, on a pool whose "synthetic" images are the real training ones."""

import hashlib
from pathlib import Path

import numpy as np
from landed import columns, run_row, source_row

from flows.simulate_factory import simulate_factory
from tasks.domain.parameters import FactoryParams, SegmentParams
from tasks.domain.trial_parameters import DetectorParams, MixParams, SplitParams, TrialParams
from tasks.factory.render import SOUND, TRAINED_KINDS, WeldImage, render_weld
from tasks.factory.styles import DEMO_PLANT
from tasks.store.archive import Archive
from tasks.store.images import encoded_png
from tasks.store.rows import PoolRow, RejectedRow

TRAIN, TEST = 41, 42
OK, KO, TEST_KO = 24, 12, 18

KILLED_TRIAL = """
import sys
from flows.terminal import quiet_prefect
quiet_prefect()
from flows.run_trial import run_trial
from tasks.domain.trial_parameters import TrialParams
run_trial(TrialParams.model_validate_json(sys.argv[1]))
"""


def render_dataset(folder: Path) -> None:
    """24 OK and 12 KO to train, 24 and 18 to test, 10 of another plant."""
    parts = {
        "train": FactoryParams(out=str(folder / "train"), ok=OK, ko=KO, seed=TRAIN),
        "test": FactoryParams(out=str(folder / "test"), ok=OK, ko=TEST_KO, seed=TEST),
        "other": FactoryParams(
            out=str(folder / "ood" / "other"), ok=10, ko=0, seed=43, plant="other"
        ),
    }
    for params in parts.values():
        simulate_factory(params)


def null_pool(uri: str) -> None:
    """Land a version whose defects and placebos are the training images themselves."""
    kinds = [SOUND] * OK + [TRAINED_KINDS[i % len(TRAINED_KINDS)] for i in range(KO)]
    rows, sources = [], []
    for index, kind in enumerate(kinds):
        weld = render_weld(DEMO_PLANT, kind, TRAIN * 1_000_000 + index)
        image = encoded_png(weld.image_rgb)
        source = hashlib.sha256(image).hexdigest()
        rows.append(
            columns(
                f"row{index:03d}", source_id=source, kind=kind, image=image,
                mask=encoded_png(_region(weld)), bead_mask=encoded_png(weld.bead_mask),
                is_placebo=kind == SOUND, embedding=np.eye(8, dtype=np.float32)[0],
            )
        )  # fmt: skip
        label = "OK" if kind == SOUND else "KO"
        sources.append(source_row(source, label=label, kind=kind, bytes=image))
    refused = [
        RejectedRow(**(row | {"id": f"no{row['id']}"}), stage="honest", reasons=("artifact",))
        for row in rows[OK : OK + 6]
    ]
    Archive(uri).land(
        run_row("r1"), pool=[PoolRow(**row) for row in rows], rejected=refused, sources=sources,
        embedding_dim=8,
    )  # fmt: skip


def _region(weld: WeldImage) -> np.ndarray:
    """The defect, as the training images' own masks show it; all of a sound bead."""
    return weld.defect_mask if weld.defect_mask.any() else weld.bead_mask


def small_trial(dataset: Path, home: Path, **changes) -> TrialParams:
    """Two seeds, two folds, a few steps."""
    return TrialParams.model_validate(
        {
            "dataset": str(dataset), "pool": str(home / "pool"),
            "report": str(home / "trial.html"), "seeds": 2, "split": SplitParams(folds=2),
            "detector": DetectorParams(steps=25, width=4), "mix": MixParams(shares=(0.0, 0.3)),
            "segment": SegmentParams(points_per_side=8), "resamples": 100, "robust_ok": 12,
            "robust_ko": 12, "device": "cpu", "batch_size": 32,
        }
        | changes
    )  # fmt: skip
