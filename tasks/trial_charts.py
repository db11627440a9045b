"""The trial report's charts: gains, the mix, operating curves, trust, price, kinds, robustness."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.charts import INK, KEPT, LIMIT, STYLE, svg_uri
from tasks.domain.perturbation import SEVERITIES
from tasks.domain.trial_records import ArmFigures, TrialResult, arm_name

Curves = Mapping[str, Mapping[str, NDArray[Any]]]
COLOURS = {
    "real": "#2b3440", "filtered": "#1f7a5c", "unfiltered": "#c98a2b", "no_gate_3": "#8a6fc0",
    "classic": "#3a7fc2", "copy_paste": "#c0392b", "champion": "#7a8f2a",
}  # fmt: skip
HEADLINES = (
    ("recall", "recall at the false-alarm rate", True),
    ("cost", "E[C] per part", False),
    ("ece", "ECE", False),
    ("robust_recall", "recall under perturbation", True),
)


def gains_chart(arms: Sequence[ArmFigures]) -> str:
    """Each arm's paired difference to `real` with its interval; green is better."""
    others = [arm for arm in arms if arm.arm != "real"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 0.42 * len(others) + 1.1), layout="constrained")
        panels = figure.subplots(1, len(HEADLINES), sharey=True, squeeze=False)[0]
        for axes, (measure, title, is_gain) in zip(panels, HEADLINES, strict=True):
            for row, arm in enumerate(others):
                if (gain := arm.difference.get(measure)) is None:
                    continue
                is_better = gain.low > 0 if is_gain else gain.high < 0
                is_worse = gain.high < 0 if is_gain else gain.low > 0
                colour = KEPT if is_better else LIMIT if is_worse else "#8a94a3"
                axes.plot([gain.low, gain.high], [row, row], color=colour, linewidth=2.4)
                axes.plot(gain.value, row, "o", color=colour, markersize=6)
            axes.axvline(0, color="#aab2bd", linewidth=1)
            axes.set_title(title, fontsize=9, loc="left")
        panels[0].set_yticks(range(len(others)), [arm_name(arm.arm) for arm in others])
        panels[0].invert_yaxis()
        return svg_uri(figure)


def mix_chart(result: TrialResult) -> str:
    """E[C] on validation with its standard error, and recall on the test, over the share."""
    shares = [100 * point.share for point in result.mix]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.errorbar(shares, [p.cost for p in result.mix], yerr=[p.error for p in result.mix],
                      fmt="o-", color=INK, capsize=3)  # fmt: skip
        best = min(result.mix, key=lambda point: (point.cost, point.share))
        left.axhline(best.cost + best.error, color="#aab2bd", linewidth=1, linestyle="--",
                     label="lowest + 1 standard error")  # fmt: skip
        left.axvline(100 * result.recommended_share, color=KEPT, linewidth=1.4, label="recommended")
        left.set_title("E[C] per part on validation, ± 1 SE", fontsize=9, loc="left")
        left.legend(frameon=False, fontsize=8)
        values = [one.value for one in result.mix_recall]
        right.errorbar(
            shares, values, fmt="o-", color=KEPT, capsize=3,
            yerr=[[max(v - e.low, 0) for v, e in zip(values, result.mix_recall, strict=True)],
                  [max(e.high - v, 0) for v, e in zip(values, result.mix_recall, strict=True)]],
        )  # fmt: skip
        right.set_title("recall on the test, 95 % interval", fontsize=9, loc="left")
        for axes in (left, right):
            axes.set_xlabel("share of synthetic exposures, %")
        return svg_uri(figure)


def curves_chart(curves: Curves, false_alarms: float) -> str:
    """ROC, reliability, price over the cost ratio, risk over coverage."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.1), layout="constrained")
        roc, trust, price, risk = figure.subplots(1, 4)
        for arm, arrays in curves.items():
            style = {"color": COLOURS[arm], "linewidth": 1.6, "label": arm_name(arm)}
            roc.plot(arrays["roc.alarms"], arrays["roc.recall"], **style)
            price.plot(arrays["cost.ratio"], arrays["cost.value"], **style)
            risk.plot(arrays["coverage"], arrays["risk"], **style)
            if arm in {"real", "filtered"}:
                trust.plot(arrays["reliability.predicted"], arrays["reliability.observed"], "o-",
                           color=COLOURS[arm], markersize=3, linewidth=1)  # fmt: skip
        roc.axvline(false_alarms, color="#aab2bd", linewidth=1, linestyle="--")
        roc.set_xlim(0, 0.3)
        trust.plot([0, 1], [0, 1], color="#aab2bd", linewidth=1, linestyle="--")
        price.axhline(1, color="#aab2bd", linewidth=1, linestyle="--")
        price.set_xscale("log")
        for axes, title, label in (
            (roc, "recall over false alarms", "false-alarm rate"),
            (trust, "reliability, real and filtered", "predicted P(KO)"),
            (price, "E[C] over the cost ratio", "cFN / cFP; 1: the cheaper trivial decision"),
            (risk, "error rate of decided parts", "coverage"),
        ):
            axes.set_title(title, fontsize=9, loc="left")
            axes.set_xlabel(label, fontsize=8)
        figure.legend(*roc.get_legend_handles_labels(), loc="outside lower center", ncols=4,
                      frameon=False, fontsize=8)  # fmt: skip
        return svg_uri(figure)


def kinds_chart(arms: Sequence[ArmFigures]) -> str:
    """Recall of each kind by arm."""
    shown = [arm for arm in arms if arm.arm in {"real", "filtered", "classic", "copy_paste"}]
    kinds = list(shown[0].by_kind)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.6), layout="constrained")
        axes = figure.subplots()
        _bars(axes, kinds, {arm.arm: [arm.by_kind[kind] for kind in kinds] for arm in shown})
        axes.set_title("recall by kind, mean over seeds", fontsize=9, loc="left")
        return svg_uri(figure)


def robustness_chart(arms: Sequence[ArmFigures]) -> str:
    """Recall under each perturbation by severity."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 2.4), layout="constrained")
        panels = figure.subplots(1, len(SEVERITIES), sharey=True)
        for axes, (name, amounts) in zip(panels, SEVERITIES.items(), strict=True):
            for arm in arms:
                values = [arm.measures.get(f"recall_{name}:{level}") for level in range(3)]
                found = [arm.measures["recall"], *values]
                axes.plot([0, *amounts] if name != "brightness" else [1, *amounts],
                          [one.value if one else np.nan for one in found], "o-", markersize=3,
                          color=COLOURS[arm.arm], label=arm_name(arm.arm))  # fmt: skip
            if name == "brightness":
                axes.invert_xaxis()
            axes.set_title(name, fontsize=9, loc="left")
        return svg_uri(figure)


def _bars(axes: Axes, names: Sequence[str], groups: Mapping[str, Sequence[float]]) -> None:
    """Grouped bars in [0, 1]."""
    width = 0.8 / len(groups)
    for index, (arm, values) in enumerate(groups.items()):
        places = np.arange(len(names)) + (index - (len(groups) - 1) / 2) * width
        axes.bar(places, values, width * 0.92, color=COLOURS[arm], label=arm_name(arm))
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, ncols=len(groups), loc="upper center",
                bbox_to_anchor=(0.5, -0.12))  # fmt: skip
