"""The report's charts, by matplotlib, as SVG data-URIs: nothing in them can run."""

import base64
import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.domain.diversity import CoverageComparison
from tasks.domain.funnel import Funnel
from tasks.domain.judging import Judgement
from tasks.domain.parameters import RunParams

KEPT, REFUSED, LIMIT, INK = "#1f7a5c", "#c9ced6", "#c0392b", "#2b3440"
STYLE = {
    "font.family": "sans-serif", "font.size": 9, "axes.edgecolor": "#aab2bd",
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "poolstar",
}  # fmt: skip


def funnel_chart(funnel: Funnel) -> str:
    """Bars of what went in, what each stage refused, and what was accepted."""
    rows = [("images", funnel.listed, INK), ("sources with a bead", funnel.sources, INK)]
    rows += [("edits", funnel.edits, INK)]
    rows += [(f"{row.stage}: {row.reason}", row.count, REFUSED) for row in funnel.rows]
    rows += [(f"accepted: {kind}", count, KEPT) for kind, count in funnel.accepted.items()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 0.27 * len(rows) + 0.4))
        axes = figure.subplots()
        names = [name if len(name) < 56 else name[:55] + "…" for name, _, _ in rows]
        bars = axes.barh(
            range(len(rows)), [count for _, count, _ in rows], color=[c for _, _, c in rows]
        )
        axes.bar_label(bars, padding=3, fontsize=8)
        axes.set_yticks(range(len(rows)), names)
        axes.invert_yaxis()
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0, labelbottom=False)
        return svg_uri(figure)


def score_histograms(judgement: Judgement, params: RunParams) -> str:
    """Each score over all candidates but placebos, accepted ones green, thresholds red."""
    limits: list[tuple[str, str, float | None]] = [
        ("S_i", "s_i", params.score.min_s_i),
        ("realism R_i", "realism", params.score.min_realism),
        ("utility U_i", "utility", None),
        ("D_plaus", "d_plaus", None),
        ("bead IoU", "bead_iou", params.plausible.min_bead_iou),
        ("histogram", "histogram", params.plausible.min_histogram),
        ("seam", "seam", params.plausible.min_seam),
        ("change, multiples of grain", "change", params.plausible.min_change),
        ("novelty, cosine distance", "novelty", None),
        ("P(synthetic)", "p_synthetic", params.honest.max_synthetic_probability),
        ("KO score lost on restoring", "ko_drop", params.honest.min_ablation_drop),
    ]
    defects = [one for one in judgement.judged if not one.candidate.plan.edit.is_placebo]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 6.0), layout="constrained")
        grid = figure.subplots(3, 4).ravel()
        for axes, (title, name, limit) in zip(grid, limits, strict=False):
            values = [
                (v, one.verdict.accepted)
                for one in defects
                if (v := _score(one.scores.model_dump(), name)) is not None
            ]
            _histogram(axes, values, limit)
            axes.set_title(title, fontsize=9, loc="left")
        for axes in grid[len(limits) :]:
            axes.set_axis_off()
        grid[-1].legend(
            *grid[0].get_legend_handles_labels(), loc="center left", frameon=False, fontsize=9
        )
        return svg_uri(figure)


def _score(scores: dict[str, object], name: str) -> float | None:
    """A score or gate figure by name, None where it was not measured."""
    gates = scores["gates"]
    value = scores.get(name, gates.get(name) if isinstance(gates, dict) else None)
    return value if isinstance(value, float) and np.isfinite(value) else None


def _histogram(axes: Axes, values: Sequence[tuple[float, bool]], limit: float | None) -> None:
    """Stacked histogram of accepted and refused values, with the threshold."""
    kept = [value for value, accepted in values if accepted]
    refused = [value for value, accepted in values if not accepted]
    if values:
        top = float(np.quantile([value for value, _ in values], 0.99))
        low = min(0.0, *(value for value, _ in values))
        bins = np.linspace(low, max(top, 1e-3 + low, limit or 0.0), 25).tolist()
        axes.hist([kept, refused], bins, stacked=True, color=[KEPT, REFUSED],
                  label=["accepted", "refused"])  # fmt: skip
    if limit is not None:
        axes.axvline(limit, color=LIMIT, linewidth=1.2, label="threshold")
    axes.tick_params(length=2, labelsize=8)


def coverage_chart(coverage: CoverageComparison) -> str:
    """The chosen set's coverage radius and dispersion beside random sets of the same size."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 1.9), layout="constrained")
        names = list(type(coverage.chosen).model_fields)
        for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
            low, mid, high = (
                getattr(part, name)
                for part in (coverage.random_q05, coverage.random_mean, coverage.random_q95)
            )
            axes.errorbar([mid], [0], xerr=[[mid - low], [high - mid]], fmt="o", color="#8a94a3",
                          capsize=4, label=f"{coverage.draws} random sets, 5-95 %")  # fmt: skip
            axes.plot([getattr(coverage.chosen, name)], [1], "D", color=KEPT, label="chosen")
            axes.set_yticks([0, 1], ["random", "chosen"])
            axes.set_ylim(-0.7, 1.7)
            axes.set_title(name.replace("_", " "), fontsize=9, loc="left")
        return svg_uri(figure)


def svg_uri(figure: Figure) -> str:
    """The figure as an SVG data-URI; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
