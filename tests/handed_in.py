"""Candidates as a stranger hands them in: files of images, from which the gates must tell."""

from pathlib import Path

import numpy as np
from PIL import Image
from planted import RIGHT_REASONS, Bench, Case

from tasks.adopt import adopt_batch, read_pairs
from tasks.domain.parameters import IngestParams
from tasks.domain.records import Candidate, Refusal
from tasks.store.pairs import list_pairs

GATE_1_AND_REALISM = ("bead_iou", "inside_share", "histogram", "seam", "change", "realism")
RIGHT = RIGHT_REASONS | {"nothing changed": ("nothing changed", "change", "redundant")}


def hand_in(
    folder: Path, name: str, case: Case, after: np.ndarray | None = None, **jpeg: int
) -> None:
    """Save source and candidate of a case, the candidate as PNG or, with options, as JPEG."""
    shown = case.after if after is None else after
    for place, image in (("sources", case.before), (f"candidates/{case.kind}", shown)):
        is_jpeg = bool(jpeg) and place != "sources"
        path = folder / place / f"{name}{'.jpg' if is_jpeg else '.png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, **(jpeg if is_jpeg else {}))


def reasons_of(bench: Bench, cases: list[Case], folder: Path, **jpeg: int) -> list[tuple[str, ...]]:
    """The reasons against each case, handed in as a pair of files; none for what passes."""
    for index, case in enumerate(cases):
        hand_in(folder, f"{index:03d}", case, **jpeg)
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


def share_of(reasons: list[tuple[str, ...]], heads: tuple[str, ...]) -> float:
    """The share of cases against which a reason of these heads stands."""
    return float(np.mean([any(one.startswith(heads) for one in each) for each in reasons]))
