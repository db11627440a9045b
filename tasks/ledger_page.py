"""The ledger's part of a run's report: energy beside the article's line, information, drift."""

from tasks.domain.energy import (
    ARTICLE_IMAGES,
    JOULES_A_WH,
    RunEnergy,
    article_campaign_kwh,
    article_wh,
)
from tasks.domain.information import Information
from tasks.watch import Watched


def energy_line(energy: RunEnergy) -> str:
    """Wh of the run and of an accepted image, beside the article's."""
    each = energy.wh_per_image
    image = "no image was accepted" if each is None else f"{each:.3f} Wh an accepted image"
    campaign = "" if each is None else f"; {ARTICLE_IMAGES:,} such images {_kwh(each):.2f} kWh"
    mark = "estimated: " if energy.is_estimate else ""
    return (
        f"{mark}{energy.joules / JOULES_A_WH:.2f} Wh this run, {image}{campaign} (the article: "
        f"70 W x 5 s = {article_wh():.3f} Wh an image, {article_campaign_kwh():.2f} kWh)"
    )


def energy_rows(energy: RunEnergy) -> list[dict[str, object]]:
    """A line a stage, then what no stage can be charged, and the sum."""
    rows: list[dict[str, object]] = [
        {
            "stage": one.stage,
            "computed": one.computed,
            "reused": one.reused,
            "seconds": f"{one.seconds:.1f}",
            "wh": _wh(one.joules),
            "wh_before": _wh(one.reused_joules),
        }
        for one in energy.stages
    ]
    nothing = {"computed": "", "reused": "", "seconds": "", "wh_before": ""}
    rows.append({"stage": "between stages", **nothing, "wh": _wh(energy.other_joules)})
    told = {"seconds": f"{energy.seconds:.1f}", "wh": _wh(energy.joules)}
    before = {"wh_before": _wh(energy.reused_joules)}
    return [*rows, {"stage": "this run until it landed", **nothing, **told, **before}]


def gain_rows(found: Information) -> list[dict[str, str]]:
    """A line a division."""
    return [
        {
            "over": f"{one.over} ({one.enriched.categories})",
            "real": one.real.bits.text(),
            "enriched": one.enriched.bits.text(),
            "gain": one.gain.text(),
            "corrections": f"{one.real.correction:.3f}, {one.enriched.correction:.3f}",
            "outside": "-" if one.outside_share is None else f"{one.outside_share:.0%}",
        }
        for one in found.gains
    ]


def ledger_notes(watched: Watched) -> list[str]:
    """What a reader must know of drift, of gains from outside, and of prompts."""
    notes = [f"Alarm: {alarm}" for alarm in watched.drift.alarms()]
    notes += [
        f"{one.outside_share or 0:.0%} of the information gained over {one.over} comes from images "
        "outside the real domain: it may be noise, not variety."
        for one in watched.information.gains
        if one.is_alarming
    ]
    notes += [
        f"Prompts that could be merged, for they mean the same and fare the same: {pair.first} / "
        f"{pair.second}. Every image of the second costs as much as one of a new kind."
        for pair in watched.redundant
    ]
    return notes


def _kwh(wh_an_image: float) -> float:
    return wh_an_image * ARTICLE_IMAGES / 1000


def _wh(joules: float) -> str:
    return f"{joules / JOULES_A_WH:.3f}"
