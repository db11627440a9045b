"""The life of one image, from its source to its verdict, as a quality engineer reads it.

Each figure stands beside the threshold of the image's own run: parameters as they are, and U_i's
two ends from the run's calibration, redundant up to 1 - max_cosine, exotic from 2 q99 of the
real images' novelty on (see `tasks.domain.judging`).
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tasks.domain.records import Record

Relation = Literal[">=", ">", "<=", "<"]
HOLDS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


class Check(Record):
    """One figure of an image against its threshold; a figure that is no number (nan) is None."""

    stage: str
    name: str
    value: float | None
    relation: Relation
    limit: float
    passed: bool


class Life(Record):
    """All that a pool knows of one image but its pixels; `row` holds its light columns.

    `source` names the real image, `models` who painted it, `lineage` what they had learned from,
    `bead_px` and `region_px` the areas of the two masks in an image of `size_px` (width, height).
    """

    table: str
    row: dict[str, Any]
    source: dict[str, Any]
    size_px: tuple[int, int]
    bead_px: int
    region_px: int
    models: dict[str, Any]
    lineage: dict[str, Any]
    checks: tuple[Check, ...]
    run: dict[str, Any]
    versions: tuple[str, ...]
    trials: tuple[dict[str, Any], ...]


def gate_checks(
    figures: Mapping[str, float],
    is_placebo: bool,
    params: Mapping[str, Any],
    calibration: Mapping[str, Mapping[str, float]],
) -> tuple[Check, ...]:
    """Every gate's figure that was recorded against the threshold of the run.

    Args:
        figures: the row's gate figures, with `s_i` and `realism`.
        is_placebo: placebos answer for their rise, and not for change, novelty and S_i.
        params: the run's parameters as JSON; a gate that they do not name is left out.
        calibration: the run's quantiles by name.
    """
    asked: list[tuple[str, str, Relation, str, str]] = [
        ("plausible", "bead_iou", ">=", "plausible", "min_bead_iou"),
        ("plausible", "inside_share", ">=", "plausible", "min_inside_share"),
        ("plausible", "histogram", ">=", "plausible", "min_histogram"),
        ("plausible", "seam", ">=", "plausible", "min_seam"),
        ("score", "realism", ">=", "score", "min_realism"),
        ("honest", "p_synthetic", "<=", "honest", "max_synthetic_probability"),
    ]
    if is_placebo:
        asked.append(("honest", "ko_drop", "<=", "honest", "max_placebo_rise"))
    else:
        asked += [
            ("plausible", "change", ">=", "plausible", "min_change"),
            ("score", "s_i", ">", "score", "min_s_i"),
            ("honest", "ko_drop", ">=", "honest", "min_ablation_drop"),
        ]
    limits = [
        (stage, name, relation, float(params[part][field]))
        for stage, name, relation, part, field in asked
        if field in params.get(part, {})
    ]
    if not is_placebo and "novelty" in calibration:
        limits.append(("useful", "novelty", "<", 2 * calibration["novelty"]["q99"]))
        if "max_cosine" in params.get("deduplicate", {}):
            limits.append(("useful", "novelty", ">", 1 - params["deduplicate"]["max_cosine"]))
    order = ("plausible", "useful", "score", "honest")
    checks = [_check(figures, *limit) for limit in limits if limit[1] in figures]
    return tuple(sorted(checks, key=lambda one: order.index(one.stage)))


def _check(
    figures: Mapping[str, float], stage: str, name: str, relation: Relation, limit: float
) -> Check:
    """A figure against its limit; one that is no number passes where only an excess refuses."""
    value = figures[name]
    unknown = value is None or math.isnan(value)
    passed = name == "p_synthetic" if unknown else bool(HOLDS[relation](value, limit))
    return Check(
        stage=stage, name=name, value=None if unknown else value, relation=relation, limit=limit,
        passed=passed,
    )  # fmt: skip


def story(life: Life) -> tuple[str, ...]:
    """The life in lines of text."""
    row = life.row
    kind = "placebo" if row["is_placebo"] else row["kind"]
    return (
        f"{row['id']}: {kind}, {_verdict(life)}",
        "",
        _from(life.source),
        _place(life),
        _edit(row),
        _painter(life),
        f"scores    S_i {row['s_i']:.3f} (realism {row['realism']:.3f}, utility "
        f"{row['utility']:.3f}); D_plaus {row['d_plaus']:.3f}, 0 is most plausible",
        *_gates(life.checks),
        f"merged    {_listed(row['merged_ids']) or 'no near-duplicate'}",
        f"verdict   {_verdict(life)}",
        f"run       {life.run['run_id']} of {life.run['created_at']}, landed as "
        f"{life.run['version']}, begun from {life.run['base_version'] or 'an empty pool'}",
        f"stands in {_listed(life.versions)}",
        *_trials(life.trials),
    )


def _verdict(life: Life) -> str:
    if life.table == "pool":
        return "accepted"
    return f"refused at {life.row['stage']}: {'; '.join(life.row['reasons'])}"


def _from(source: Mapping[str, Any]) -> str:
    size = f", {source['size_bytes']:,} bytes" if source["size_bytes"] is not None else ""
    return f"source    {source['uri']}, labelled {source['label']}{size}, sha256 {source['id']}"


def _place(life: Life) -> str:
    width, height = life.size_px
    x, y, w, h = life.row["window_xywh"]
    return (
        f"place     bead of {life.bead_px:,} px ({life.bead_px / (width * height):.1%} of {width} x"
        f" {height}), in it the region `{life.row['region']}` of {life.region_px:,} px, seen in "
        f"the window {w} x {h} at ({x}, {y})"
    )


def _edit(row: Mapping[str, Any]) -> str:
    if row["maker"] is not None:
        asked = f'"{row["prompt"]}", ' if row["prompt"] else ""
        return f"edit      {asked}made elsewhere by {row['maker']}, file {row['maker_file']}"
    avoided = f', avoiding "{row["negative_prompt"]}"' if row["negative_prompt"] else ""
    return (
        f'edit      "{row["prompt"]}"{avoided}; seed {row["seed"]}, strength {row["strength"]}, '
        f"guidance {row['guidance_scale']}, {row['effective_steps']} of {row['steps']} steps"
    )


def _painter(life: Life) -> str:
    if life.row["maker"] is not None:
        generation = "unknown" if life.row["generation"] is None else life.row["generation"]
        return (
            f"models    {life.row['model_set']} {_fingerprint(life.models)} measured it; "
            f"generation {generation}"
        )
    models, lineage = life.models, life.lineage
    base = (models.get("adapted_from") or {}).get("set")
    learned = f", adapted from {base}" if base else ""
    if lineage.get("sources"):
        learned += f" on {lineage['sources']} real images ({lineage['ko']} with a defect)"
    where = f"; on {models['device']} in {models['dtype']}" if models.get("device") else ""
    return (
        f"models    {life.row['model_set']} {_fingerprint(models)}{learned}"
        f"{where}; generation {life.row['generation']}"
    )


def _fingerprint(models: Mapping[str, Any]) -> str:
    return str(models.get("fingerprint", ""))[:12]


def _gates(checks: Sequence[Check]) -> list[str]:
    lines = []
    for one in checks:
        value = "not measured" if one.value is None else f"{one.value:.4g}"
        lines.append(
            f"  {one.stage:<10} {one.name:<13} {value:>12} {one.relation:<2} {one.limit:<8.4g} "
            f"{'passes' if one.passed else 'REFUSES'}"
        )
    return ["gates", *lines] if lines else []


def _trials(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"trial     {one['version']} on {one['dataset']}: share {one['recommended_share']:.0%}, "
        f"{'promoted, ' if one['is_promoted'] else ''}{one['reason']}"
        for one in trials
    ] or ["trials    none of these versions has been tried"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
