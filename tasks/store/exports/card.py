"""The dataset card: README.md with the Hub's front matter, every text of a person escaped."""

import json
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks.domain.export_records import ExportFormat
from tasks.domain.export_splits import UNDIVIDED
from tasks.domain.markdown import cell
from tasks.domain.records import SOUND
from tasks.domain.trial_records import arm_name
from tasks.store.exports.selection import Selection
from tasks.store.trials import Trials

HUB_LICENCES = frozenset(
    {
        "apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
        "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "odbl", "odc-by", "pddl",
        "openrail", "creativeml-openrail-m", "unknown",
    }
)  # fmt: skip
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_ENVIRONMENT = Environment(
    loader=PackageLoader("tasks.store", "exports"), undefined=StrictUndefined, autoescape=True,
    trim_blocks=True,
)  # fmt: skip
_ENVIRONMENT.filters["cell"] = lambda text: Markup(cell(text))  # noqa: S704  cell escapes


@dataclass(frozen=True)
class FormatNotes:
    """What the card says of one format."""

    place: str = ""
    region: str = ""
    sound: str = "no mask"
    splits: str = "Images are divided by the sources they were made from."
    limits: tuple[str, ...] = ()
    data_files: str = ""


NOTES: dict[ExportFormat, FormatNotes] = {
    "imagefolder": FormatNotes(
        place=", and the column `provenance`", region=": column `region`", sound="a black mask",
        data_files="{}/**",
    ),
    "coco": FormatNotes(
        place=", and `provenance` of each image in the annotations",
        region=": `region` of an annotation, as run lengths",
        limits=("Masks are run lengths with `iscrowd` 0: exact, but no polygons.",),
    ),
    "yolo": FormatNotes(
        sound="an empty label file",
        limits=(
            "A polygon can be neither in two parts nor have a hole: a defect has one line for each "
            "of its simple pieces, so lines are more than defects.",
            "Polygons run along pixel edges, .01 px within: exact by pixel centres and by filling "
            "after cutting to whole pixels. A reader that rounds adds up to one pixel at right and "
            "below.",
        ),
    ),
    "mvtec": FormatNotes(
        splits="Sound images alone train: those of sources without a defect here, by share; all "
        "images of the others are tested.",
        limits=("Synthetic defects under `test/` are MVTec AD's layout, not a real test.",),
    ),
    "parquet": FormatNotes(
        place=", and columns", region=": column `region`", sound="a black mask",
        data_files="data/{}-*",
    ),
    "fiftyone": FormatNotes(
        place=", and fields of the samples", region=": field `region`", sound="no detection",
    ),
}  # fmt: skip


def dataset_card(selection: Selection, floor: float, region_masks: int, deep: int) -> str:
    """README.md of an export.

    Args:
        selection: what is exported.
        floor: what repainting alone changes, grey levels; 0 where it is not known.
        region_masks: images whose mask is the region.
        deep: images of 16 bits.
    """
    notes = NOTES[selection.params.format]
    edits = selection.images - selection.real
    return _ENVIRONMENT.get_template("card.md.j2").render(
        selection=selection, edits=edits, floor=floor, region_masks=region_masks, deep=deep,
        format=notes,
        columns=[*selection.kinds, *([SOUND] if selection.has_sound else [])],
        configs=_configs(selection, notes), licence=licence_keys(selection.params.licence),
        models=[f"`{one[:12]}`" for one in sorted(set(selection.fingerprints.values()))],
        size=next((name for limit, name in SIZES if selection.images < limit), "n>1M"),
        funnel=_funnel(selection), trial=_trial(selection),
    )  # fmt: skip


def licence_keys(licence: str | None) -> dict[str, str]:
    """The Hub's `license`, and `name` where the Hub does not list it."""
    if licence is None:
        return {"key": "unknown", "name": ""}
    known = licence.strip().lower()
    return (
        {"key": known, "name": ""} if known in HUB_LICENCES else {"key": "other", "name": licence}
    )


def _configs(selection: Selection, notes: FormatNotes) -> dict[str, str]:
    """The files of each split, where `load_dataset` reads the folder; `all` is no name there."""
    if not notes.data_files:
        return {}
    return {
        "train" if split == UNDIVIDED else split: notes.data_files.format(split)
        for split in selection.shares
    }


def _funnel(selection: Selection) -> dict[str, Any]:
    """The funnel of the run that landed the version; empty when it is not known."""
    found: dict[str, Any] = json.loads(selection.run["funnel"])
    return found


def _trial(selection: Selection) -> dict[str, Any] | None:
    """The last trial of the version, with each arm's recall."""
    rows = [r for r in Trials(selection.uri).rows() if r["version"] == selection.version]
    if not rows:
        return None
    arms = [
        {"name": arm_name(arm["arm"]), "recall": arm["measures"]["recall"]}
        for arm in json.loads(rows[-1]["result"]).get("arms", [])
        if "recall" in arm["measures"]
    ]
    return rows[-1] | {"arms": arms}
