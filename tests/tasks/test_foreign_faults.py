"""Planted faults as a stranger hands them in: image files alone, the region to be found.

The gates must refuse them for the right reasons, and let real defects through; `POOLSTAR_CASES`
raises the number of each.
"""

import os

import numpy as np
import pytest
from PIL import Image
from planted import FAULTS, RIGHT_REASONS, Bench, Case, cases_of, good_case, placed_case

from tasks.adopt import adopt_batch, read_pairs
from tasks.domain.parameters import IngestParams
from tasks.domain.records import Candidate, Refusal
from tasks.store.pairs import list_pairs

COUNT = int(os.environ.get("POOLSTAR_CASES", "12"))
GATE_1_AND_REALISM = ("bead_iou", "inside_share", "histogram", "seam", "change", "realism")
RIGHT = RIGHT_REASONS | {"nothing changed": ("nothing changed", "change", "redundant")}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), "tiny")


def reasons_of(bench: Bench, cases: list[Case], folder, **jpeg) -> list[tuple[str, ...]]:
    """The reasons against each case, handed in as a pair of files; none for what passes."""
    suffix = ".jpg" if jpeg else ".png"
    for index, case in enumerate(cases):
        for place, image in (("sources", case.before), (f"candidates/{case.kind}", case.after)):
            end, options = (".png", {}) if place == "sources" else (suffix, jpeg)
            path = folder / place / f"{index:03d}{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path, **options)
    files, refused = list_pairs(str(folder), kind="x", maker="a stranger", generation=None)
    assert not refused
    pairs = sorted(
        read_pairs.fn(files, bench.context, IngestParams()),
        key=lambda pair: pair.file.name.split("/")[-1],
    )
    beads = [bench.bead(p.source, case.bead) for p, case in zip(pairs, cases, strict=True)]
    adopted = adopt_batch.fn(pairs, beads, bench.context)
    made = [one for one in adopted if isinstance(one, Candidate)]
    judged = iter(bench.verdicts(made).judged if made else ())
    return [
        (one.reason,) if isinstance(one, Refusal) else next(judged).verdict.reasons
        for one in adopted
    ]


def test_real_defects_pass_gate_1_and_realism(bench, tmp_path):
    found = reasons_of(bench, cases_of(good_case, COUNT, 100), tmp_path)
    passed = [not any(reason.startswith(GATE_1_AND_REALISM) for reason in one) for one in found]
    assert np.mean(passed) >= 0.9


def test_a_jpeg_is_refused_for_what_it_changed_everywhere(bench, tmp_path):
    cases = cases_of(good_case, 6, 100)
    found = reasons_of(bench, cases, tmp_path, quality=95, subsampling=0)
    assert all(any(reason.startswith("inside_share") for reason in one) for one in found)


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_refused_for_the_right_reason(bench, tmp_path, fault):
    cases = [FAULTS[fault](case) for case in cases_of(placed_case, COUNT, 200)]
    found = reasons_of(bench, cases, tmp_path)
    right = [any(reason.startswith(RIGHT[fault]) for reason in one) for one in found]
    assert np.mean(right) >= 0.9
