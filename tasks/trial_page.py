"""The trial's report: one self-contained HTML page, and the same tables in markdown."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.bootstrap import Estimate
from tasks.domain.trial_parameters import TrialParams
from tasks.domain.trial_records import ArmFigures, TrialResult, arm_name
from tasks.domain.view import cut_view
from tasks.gallery import data_uri
from tasks.pages import rendered
from tasks.sources import source_view
from tasks.store.files import ContentStore
from tasks.trial_charts import (
    curves_chart,
    gains_chart,
    kinds_chart,
    mix_chart,
    robustness_chart,
)
from tasks.trial_images import TrialImages
from tasks.trial_run import ArmRun, view_size

EXAMPLES = 12
NAMED_AT_MOST = 5
# measure, what it is called, what is better: +1 more, -1 less, 0 neither
ROWS: tuple[tuple[str, str, int], ...] = (
    ("recall", "recall at {alarms} false alarms", 1),
    ("precision", "precision there", 1),
    ("f1", "F1 there", 1),
    ("auroc", "AUROC", 1),
    ("ap", "average precision", 1),
    ("cost", "E[C] per part", -1),
    ("cost_recall", "recall at the cost-optimal threshold", 1),
    ("cost_precision", "precision there", 1),
    ("cost_f1", "F1 there", 1),
    ("ece", "ECE, {bins} bins of equal mass", -1),
    ("aurc", "AURC", -1),
    ("coverage", "decided at a wanted error rate of {risk}", 1),
    ("risk", "error rate of what is decided", -1),
    ("robust_recall", "recall, mean over 12 perturbations", 1),
    ("placebo_alarms", "placebos flagged (held out, sound)", -1),
)


def render_trial(
    params: TrialParams,
    result: TrialResult,
    arms: Sequence[ArmRun],
    images: TrialImages,
    store: ContentStore,
) -> str:
    """The page as HTML text."""
    curves = {arm.name: store.get_arrays(arm.evaluation.draws) for arm in arms}
    return rendered(
        "trial.html.j2",
        params=params,
        params_json=params.model_dump_json(indent=1),
        result=result,
        verdicts=verdicts(result),
        notes=notes_of(result, params),
        columns=[arm_name(arm.arm) for arm in result.arms],
        table=table_of(result.arms, params),
        beyond=beyond_of(result.arms),
        charts={
            "gains": gains_chart(result.arms),
            "mix": mix_chart(result),
            "curves": curves_chart(curves, params.price.false_alarms),
            "kinds": kinds_chart(result.arms),
            "robustness": robustness_chart(result.arms),
        },
        examples=examples_of(params, curves, images, store),
    )


def verdicts(result: TrialResult) -> list[tuple[str, str, str]]:
    """What the trial says in a line each: class (good, bad or open), claim, figures."""
    filtered = next((arm for arm in result.arms if arm.arm == "filtered"), None)
    if filtered is None:
        return []
    found = []
    for measure, claim, sense in (
        ("recall", "more defects found", 1),
        ("cost", "errors cost less", -1),
        ("ece", "better calibrated", -1),
        ("robust_recall", "steadier under perturbation", 1),
    ):
        if (gain := filtered.difference.get(measure)) is not None:
            found.append((_sense(gain, sense), claim, _text(gain, signed=True)))
    for one in result.comparisons:
        if one.other != "real":
            gain = one.difference["recall"]
            claim = f"recall against {arm_name(one.other)}"
            found.append((_sense(gain, 1), claim, _text(gain, signed=True)))
    return found


def _sense(gain: Estimate, sense: int) -> str:
    """Whether an interval lies on the better or the worse side of zero."""
    low, high = sorted((sense * gain.low, sense * gain.high))
    return "good" if low > 0 else "bad" if high < 0 else "open"


def notes_of(result: TrialResult, params: TrialParams) -> list[str]:
    """What a reader must know before trusting the figures."""
    data = result.data
    notes = [
        "What was not shown: a pool grown by the tiny model set from the simulated factory shows "
        "that the machinery works. The set was trained on the factory's own renderer, so that "
        "trial cannot show that synthetic defects help on a plant's photographs."
        if params.models == "tiny"
        else "These figures hold for this dataset, this detector and this budget."
    ]
    if result.recommended_share == 0:
        notes.append(
            "Validation recommends no synthetic images. The synthetic arms below were run at the "
            f"default share of {result.arms_share:.0%}."
        )
    notes += [f"{name} was not run: {why}." for name, why in result.skipped.items()]
    if data.without_bead:
        notes.append(
            f"In {data.without_bead} images no bead was found; their views lie where the training "
            "part's beads typically lie."
        )
    if data.adapted_on:
        notes.append(
            f"Validation is optimistic: the generator was adapted on {data.adapted_on} of the "
            f"{data.train_ok + data.train_ko} training images. The test is not concerned."
        )
    if data.dropped:
        notes.append(
            f"{len(data.dropped)} test images were left out, because the pool, a model set or the "
            f"training has seen them or their like: {_some(list(data.dropped))}."
        )
    if result.later_generations:
        notes.append(
            f"{result.later_generations} images that were not edited from real ones were left out."
        )
    notes += [
        f"{len(names)} images refused: {why} ({_some(names)})."
        for why, names in data.refused.items()
    ]
    if data.train_ko < 10 or data.test_ko < 30:
        notes.append(
            f"Few defects ({data.train_ko} to train, {data.test_ko} to test): read the intervals."
        )
    return notes


def _some(names: Sequence[str]) -> str:
    """The first names of many."""
    return ", ".join(names[:NAMED_AT_MOST]) + (", ..." if len(names) > NAMED_AT_MOST else "")


def table_of(arms: Sequence[ArmFigures], params: TrialParams) -> list[dict[str, Any]]:
    """Rows of the main table: name, and for each arm value, interval, and how it differs."""
    words = {
        "alarms": f"{params.price.false_alarms:.0%}", "bins": 15,
        "risk": f"{params.price.max_risk:.1%}",
    }  # fmt: skip
    return [
        {"name": name.format(**words), "cells": [_cell(arm, measure, sense) for arm in arms]}
        for measure, name, sense in ROWS
        if any(measure in arm.measures for arm in arms)
    ]


def beyond_of(arms: Sequence[ArmFigures]) -> list[dict[str, Any]]:
    """Rows about images from outside: told apart by each score, flagged or caught."""
    names = [
        name for name in arms[0].measures if name.startswith(("ood_", "recall_ood_", "alarms_ood_"))
    ]
    return [
        {
            "name": _beyond_name(name),
            "cells": [_cell(arm, name, 0 if name.startswith("alarms") else 1) for arm in arms],
        }
        for name in names
    ]


def _beyond_name(name: str) -> str:
    """Words for an out-of-distribution measure."""
    if name.startswith("recall_ood_"):
        return f"{name.removeprefix('recall_ood_')}: defects caught"
    if name.startswith("alarms_ood_"):
        return f"{name.removeprefix('alarms_ood_')}: sound parts flagged"
    for score in ("max_probability", "energy", "entropy"):
        if name.endswith(score):
            group = name.removeprefix("ood_").removesuffix(f"_{score}")
            return f"{group}: told apart by {score.replace('_', ' ')} (AUROC)"
    return name


def _cell(arm: ArmFigures, measure: str, sense: int) -> dict[str, str]:
    """One cell: value with interval, difference to `real` with interval, and its class."""
    if measure not in arm.measures:
        return {"value": "-", "gain": "", "sense": "open"}
    gain = arm.difference.get(measure)
    is_real = arm.arm == "real" or gain is None
    return {
        "value": _text(arm.measures[measure]),
        "gain": "" if is_real or gain is None else _text(gain, signed=True),
        "sense": "open" if is_real or gain is None or not sense else _sense(gain, sense),
    }


def _text(one: Estimate, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{one.value:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def examples_of(
    params: TrialParams,
    curves: dict[str, dict[str, NDArray[Any]]],
    images: TrialImages,
    store: ContentStore,
) -> dict[str, list[dict[str, str]]]:
    """Test images that most detectors of one arm flag and most of the other do not."""
    if "filtered" not in curves:
        return {}
    before, after = curves["real"]["flagged"], curves["filtered"]["flagged"]
    is_ko = np.array([image.source.label == "KO" for image in images.test])
    rise = after - before
    groups = {
        "defects newly caught": np.flatnonzero(is_ko & (before < 0.5) & (after > 0.5)),
        "defects newly missed": np.flatnonzero(is_ko & (before > 0.5) & (after < 0.5)),
        "defects missed by both": np.flatnonzero(is_ko & (before < 0.5) & (after < 0.5)),
        "sound parts newly flagged": np.flatnonzero(~is_ko & (before < 0.5) & (after > 0.5)),
    }
    shown = {}
    for name, rows in groups.items():
        order = rows[np.argsort(-np.abs(rise[rows]), kind="stable")][:EXAMPLES]
        shown[f"{name} ({len(rows)})"] = [
            {
                "picture": data_uri(
                    cut_view(
                        source_view(store, images.test[row].source),
                        images.test[row].frame,
                        view_size(params),
                    )
                ),
                "kind": images.test[row].source.kind,
                "name": images.test[row].source.name,
                "flagged": f"flagged by {before[row]:.0%} before, {after[row]:.0%} after",
            }
            for row in order
        ]
    return shown


def markdown_tables(result: TrialResult) -> str:
    """The question, the verdicts and the main figures, for the Prefect UI."""
    lines = [
        f"# Trial of {result.version}",
        f"{result.data.test_ko} KO and {result.data.test_ok} OK test images; recommended share "
        f"**{result.recommended_share:.0%}**, arms at {result.arms_share:.0%}.",
        "",
        "| arm | recall | E[C] | ECE | AUROC | recall against real |",
        "|---|---|---|---|---|---|",
    ]
    for arm in result.arms:
        figures = [_text(arm.measures[name]) for name in ("recall", "cost", "ece", "auroc")]
        gain = "" if arm.arm == "real" else _text(arm.difference["recall"], signed=True)
        lines.append(f"| {arm_name(arm.arm)} | {' | '.join(figures)} | {gain} |")
    if result.promotion is not None:
        lines += ["", result.promotion.reason]
    return "\n".join(lines)
