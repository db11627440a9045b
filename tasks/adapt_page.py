"""The report of an adaptation: base and adapted side by side, their figures, and the verdict."""

from collections.abc import Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.adapt_judge import AdaptationJudgement
from tasks.adapt_paint import Painted
from tasks.adapt_plant import Plant
from tasks.adapt_train import Learned
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.bootstrap import Estimate
from tasks.domain.images import display_range, display_rgb
from tasks.domain.records import SOUND, Record
from tasks.domain.window import crop
from tasks.gallery import data_uri, joined, outlined, panel, view_box
from tasks.models.model_set import ModelSet
from tasks.pages import rendered
from tasks.sources import source_pixels, source_view
from tasks.store.files import ContentStore

ROWS_A_KIND = 16
REAL_A_KIND = 12


class Row(Record):
    """One edit as both sets painted it: source, region, base, adapted, as one data-URI."""

    kind: str
    source: str
    strip: str


def before_and_after(store: ContentStore, made: tuple[Painted, Painted]) -> list[Row]:
    """The first edits of each kind, placebos last."""
    base, adapted = made
    shown: dict[str, int] = {}
    rows = []
    for plan, before, after in zip(adapted.plans, base.images, adapted.images, strict=True):
        kind = plan.edit.kind
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > ROWS_A_KIND:
            continue
        pixels = source_pixels(store, plan.source)
        value_range = display_range(pixels)
        region = store.get_mask(plan.region)
        box = view_box(plan.window_xywh, region.shape)
        views = [display_rgb(pixels, value_range)]
        views += [display_rgb(store.get_image(ref), value_range) for ref in (before, after)]
        strip = joined(
            [panel(views[0][box]), outlined(views[0][box], region[box]),
             panel(views[1][box]), panel(views[2][box])]
        )  # fmt: skip
        rows.append(Row(kind=kind, source=plan.source.name, strip=data_uri(strip)))
    return rows


def real_defects(store: ContentStore, plant: Plant, side_px: int) -> dict[str, str]:
    """Real defects held out, a strip a kind, for comparison by eye."""
    strips = {}
    for kind in plant.kinds():
        own = [one for one in plant.part(judges=True, label="KO") if one.kind == kind]
        views = [_around_defect(store, one, side_px) for one in own[:REAL_A_KIND] if one.defect]
        if views:
            strips[kind] = data_uri(joined(views))
    return strips


def _around_defect(store: ContentStore, source: Any, side_px: int) -> NDArray[np.uint8]:
    """The window about a source's defect."""
    from tasks.domain.window import window_around

    box = window_around(store.get_mask(source.defect), side_px)
    return panel(np.asarray(crop(source_view(store, source), box)))


def figure_rows(judgement: AdaptationJudgement) -> list[dict[str, str]]:
    """Every figure of base and adapted with its interval, and the difference."""
    base, adapted = judgement.figures.base, judgement.figures.adapted
    change = judgement.figures.difference
    named: list[tuple[str, Estimate | None, Estimate | None, Estimate | None, int]] = [
        ("PSNR of the autoencoder, dB", base.psnr_db, adapted.psnr_db, change.psnr_db, 2),
        ("KID to real defects held out", base.kid, adapted.kid, change.kid, 4),
        ("shows its kind, by a probe", base.faithfulness, adapted.faithfulness, None, 3),
        ("real vs synthetic, AUC", base.real_vs_synthetic_auc, adapted.real_vs_synthetic_auc,
         change.real_vs_synthetic_auc, 3),
        ("real vs placebo, AUC", base.placebo_auc, adapted.placebo_auc, change.placebo_auc, 3),
        ("copies of training windows", None, adapted.memorised, None, 3),
    ]  # fmt: skip
    return [
        {"figure": name, "base": text_of(a, digits), "adapted": text_of(b, digits),
         "adapted - base": text_of(d, digits, sign="+")}
        for name, a, b, d, digits in named
    ]  # fmt: skip


def text_of(figure: Estimate | None, digits: int, sign: str = "") -> str:
    """A figure with its interval; a dash where there is none."""
    if figure is None or isnan(figure.value):
        return "-"
    value, low, high = (
        f"{one:{sign}.{digits}f}" for one in (figure.value, figure.low, figure.high)
    )
    return f"{value} ({low} to {high})"


def render_adaptation(
    params: AdaptParams,
    base: ModelSet,
    models: ModelSet,
    plant: Plant,
    learned: Learned,
    judgement: AdaptationJudgement,
    rows: Sequence[Row],
    real: dict[str, str],
    *,
    seconds: float,
    when: str,
) -> str:
    """The page as HTML text."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    return rendered(
        "adapt.html.j2",
        params=params,
        params_json=params.model_dump_json(indent=1),
        base=base,
        models=models,
        verdict=judgement.verdict,
        counts=plant.counts(),
        notes=_notes(plant, judgement),
        figures=figure_rows(judgement),
        shown={
            kind: [text_of(one, 2) for one in pair] for kind, pair in judgement.shown.items()
        },
        probe_recall={k: text_of(Estimate(value=v, low=v, high=v), 2).split(" ")[0]
                      for k, v in judgement.probe_recall.items()},
        learned=learned,
        rows={kind: [row for row in rows if row.kind == kind] for kind in kinds},
        real=real,
        sound=SOUND,
        refusals=plant.refusals,
        seconds=seconds,
        when=when,
    )  # fmt: skip


def _notes(plant: Plant, judgement: AdaptationJudgement) -> list[str]:
    """What a reader must know before trusting the figures."""
    notes = []
    if not plant.kinds():
        notes.append(
            "Sound images alone: the set learned this surface, so that edits carry fewer traces. "
            "It cannot learn what a defect looks like here, nor be measured against real ones."
        )
    if plant.weak:
        notes.append(
            f"The defects of {len(plant.weak)} images had neither mask nor box and were found by "
            "difference from sound images: weak marks. Give masks or boxes for sharper learning."
        )
    if judgement.figures.difference.kid is None and plant.kinds():
        notes.append(
            "No defect held out is of a kind that was painted: the verdict rests on placebos."
        )
    for kind, (learn, judge) in plant.counts().items():
        if kind != SOUND and judge < 5:
            notes.append(
                f"{kind}: {learn} images to learn from and {judge} to judge by; with so few, "
                "intervals are wide and may still be too narrow."
            )
    return notes
