"""The report of a run: one self-contained HTML page, every text in it escaped."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from tasks.charts import coverage_chart, funnel_chart, score_histograms
from tasks.domain.energy import RunEnergy
from tasks.domain.funnel import reason_head
from tasks.domain.judging import Judgement, RunFigures
from tasks.domain.parameters import JudgeParams, RunParams
from tasks.domain.records import SOUND, ForeignEdit, Judged
from tasks.gallery import Tile, tile_of
from tasks.grown import Settled
from tasks.land import Landed
from tasks.ledger_page import energy_line, energy_rows, gain_rows, ledger_notes
from tasks.models.model_set import ModelSet
from tasks.pages import rendered
from tasks.store.files import ContentStore
from tasks.watch import Watched, drift_rows

TILES_PER_KIND = 60
TILES_PER_REASON = 6
REFUSALS_SHOWN = 200
PLACEBOS = "placebos (sound prompt; no defect may show)"


def render_page(
    params: RunParams,
    models: ModelSet,
    landed: Landed,
    settled: Settled,
    store: ContentStore,
    energy: RunEnergy,
    watched: Watched,
    *,
    tiles: dict[str, list[Tile]],
    hidden: dict[str, int],
    seconds: float,
    when: str,
) -> str:
    """The page as HTML text; `tiles` and `hidden` as `accepted_tiles` makes them."""
    judgement = settled.judgement
    accepted = [one for one in judgement.judged if one.verdict.accepted]
    refused, counts = refused_tiles(judgement.judged, store)
    coverage = judgement.figures.coverage
    return rendered(
        "report.html.j2",
        params=params,
        params_json=params.model_dump_json(indent=1),
        models=models,
        landed=landed,
        funnel=settled.funnel,
        accepted=len(accepted),
        kinds={one.candidate.plan.edit.kind for one in accepted} - {SOUND},
        is_foreign=isinstance(params, JudgeParams),
        prompts=prompt_rows(params, judgement.judged),
        notes=notes_of(params, landed, judgement) + ledger_notes(watched),
        accepted_tiles=tiles,
        hidden=hidden,
        refused_tiles=refused,
        refused_counts=counts,
        refusals=settled.refusals[:REFUSALS_SHOWN],
        refusals_hidden=max(0, len(settled.refusals) - REFUSALS_SHOWN),
        figures=figure_rows(judgement.figures),
        calibration=judgement.figures.calibration,
        charts={
            "funnel": funnel_chart(settled.funnel),
            "scores": score_histograms(judgement, params),
            "coverage": coverage_chart(coverage) if coverage is not None else None,
        },
        energy=energy,
        energy_line=energy_line(energy),
        energy_rows=energy_rows(energy),
        information=watched.information,
        gain_rows=gain_rows(watched.information),
        drift=watched.drift,
        drift_rows=drift_rows([watched.drift]),
        redundant=watched.redundant,
        seconds=seconds,
        when=when,
    )


def accepted_tiles(
    accepted: Iterable[Judged], store: ContentStore
) -> tuple[dict[str, list[Tile]], dict[str, int]]:
    """Tiles by kind, best S_i first, placebos last; and how many a kind are not shown."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in accepted:
        edit = one.candidate.plan.edit
        groups[PLACEBOS if edit.is_placebo else edit.kind].append(one)
    tiles, hidden = {}, {}
    for kind in sorted(groups, key=lambda name: (name == PLACEBOS, name)):
        best = sorted(groups[kind], key=lambda one: (-one.scores.s_i, one.candidate.id))
        tiles[kind] = [tile_of(one, store) for one in best[:TILES_PER_KIND]]
        hidden[kind] = len(best) - len(tiles[kind])
    return tiles, hidden


def refused_tiles(
    judged: Iterable[Judged], store: ContentStore
) -> tuple[dict[str, list[Tile]], dict[str, int]]:
    """A few tiles of each stage and reason, and how many there are."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        if not one.verdict.accepted:
            groups[f"{one.verdict.stage}: {reason_head(one.verdict.reasons[0])}"].append(one)
    tiles = {
        name: [tile_of(one, store) for one in members[:TILES_PER_REASON]]
        for name, members in groups.items()
    }
    return tiles, {name: len(members) for name, members in groups.items()}


def prompt_rows(params: RunParams, judged: Iterable[Judged]) -> list[dict[str, Any]]:
    """What came of each prompt: of those wanted, or of those that came in."""
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for one in judged:
        groups[one.candidate.plan.edit.kind, one.candidate.plan.edit.prompt].append(one)
    asked = {(spec.kind, spec.words): spec.target for spec in params.budgets} or {
        key: len(members) for key, members in sorted(groups.items())
    }
    rows = []
    for (kind, prompt), count in asked.items():
        members = [one for one in groups[kind, prompt] if one.verdict.accepted]
        means = {
            name: f"{np.mean([getattr(one.scores, name) for one in members]):.2f}"
            if members
            else "-"
            for name in ("s_i", "realism", "d_plaus")
        }
        rows.append(
            {"kind": kind, "prompt": prompt, "wanted": count, "accepted": len(members), **means}
        )
    return rows


def notes_of(params: RunParams, landed: Landed, judgement: Judgement) -> list[str]:
    """What a reader must know before trusting the pictures."""
    figures = judgement.figures
    notes = [f"verify found: {problem}" for problem in landed.problems]
    if figures.is_alarming:
        notes.append(
            f"Alarm: a classifier of grain alone tells edited zones from real ones, AUC "
            f"{_number(figures.auc)} ({_number(figures.auc_low)} to {_number(figures.auc_high)}; "
            f"{params.honest.alarm_auc} is tolerated). A detector could learn the traces of the "
            "making; look at the placebos, and at the strength."
        )
    if figures.ko_method != "two_class":
        notes.append(
            "Fewer than "
            f"{params.honest.min_ko} real KO images: the KO score is a one-class distance from "
            "sound beads, not learnt from defects."
        )
    counts = Counter(
        (one.candidate.plan.edit.kind, one.candidate.plan.edit.prompt)
        for one in judgement.judged
        if one.verdict.accepted
    )
    short = [s.kind for s in params.budgets if counts[s.kind, s.words] < s.target]
    if short:
        notes.append(
            f"Fewer accepted than wanted for {', '.join(short)}: raise max_rounds, or look at the "
            "refused ones for the reason."
        )
    return notes + foreign_notes(judgement)


def foreign_notes(judgement: Judgement) -> list[str]:
    """What a reader must know of candidates made elsewhere, a note a maker."""
    edits = [one.candidate.plan.edit for one in judgement.judged]
    makers: dict[str, list[ForeignEdit]] = defaultdict(list)
    for edit in edits:
        if isinstance(edit, ForeignEdit):
            makers[edit.maker].append(edit)
    return [
        f"{len(made)} candidates were made elsewhere, by {maker}: poolstar cannot paint them "
        "again, and which images their maker has learned from stands nowhere, so no trial can tell "
        "whether its test images are among them."
        + _unknown_note(sum(edit.generation is None for edit in made))
        for maker, made in sorted(makers.items())
    ]


def _unknown_note(count: int) -> str:
    if not count:
        return ""
    return (
        f" The generation of {count} is unknown: trials leave them out. Say --generation 0 where "
        "they were made from real images by a person or by a generator that learned from real ones."
    )


def figure_rows(figures: RunFigures) -> list[tuple[str, str]]:
    """The run's figures as names and texts."""
    interval = f"{_number(figures.auc_low)} to {_number(figures.auc_high)}"
    return [
        ("KO score", figures.ko_method),
        ("AUC of real against edited zones, by grain (0.5: cannot tell)", _number(figures.auc)),
        ("its 95 % interval", interval),
        ("the same against placebos alone", _number(figures.placebo_auc)),
        ("mean rise of the KO score by placebos", _number(figures.placebo_rise)),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
