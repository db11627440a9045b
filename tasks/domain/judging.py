"""Judging a run: gate 1, duplicates, U_i's ends, S_i, gate 3 and the budget, in that order.

The order is the article's (3.3 to 3.5), but for the budget of gate 2: it is spent last, so that
nothing is bought that a later gate would refuse. Everything is judged against the real images of
the run, a candidate's own source left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.domain.deduplicate import PoolMatches, duplicate_clusters
from tasks.domain.diversity import (
    CoverageComparison,
    coverage_against_random,
    dpp_greedy_embeddings,
    k_center_greedy,
)
from tasks.domain.honesty import ablation_drop, honesty_reasons, real_vs_synthetic
from tasks.domain.parameters import RunParams
from tasks.domain.plausibility import Plausibility, plausibility_reasons
from tasks.domain.records import Candidate, Judged, Record, Scores, Stage, Verdict
from tasks.domain.reference import Arrays, RealReference
from tasks.domain.scoring import (
    confinement,
    d_clip,
    d_phys,
    d_plaus,
    realism,
    s_i,
    score_reasons,
    utility,
)

COVERAGE_DRAWS = 40


class RunFigures(Record):
    """What the gates say of a run as a whole; nan figures are None.

    `auc` tells real zones from all edited ones, `placebo_auc` from placebos alone, which show no
    defect: what it can tell is the trace of the making.
    """

    calibration: dict[str, dict[str, float]] = Field(default_factory=dict)
    ko_method: str = "none"
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    placebo_auc: float | None = None
    placebo_rise: float | None = None
    is_alarming: bool = False
    coverage: CoverageComparison | None = None


class Judgement(Record):
    """Every candidate with its verdict, and the run's figures."""

    judged: tuple[Judged, ...] = ()
    figures: RunFigures = RunFigures()


@dataclass
class _Docket:
    """The case of every candidate, filled stage by stage; a verdict once given stays."""

    candidates: Sequence[Candidate]
    scores: list[Scores]
    plausibility: list[Plausibility]
    embedding: NDArray[np.float32]
    novelty: NDArray[np.float32]
    verdicts: dict[int, Verdict]
    merged: dict[int, list[str]]

    def open_rows(self, placebos: bool | None = None) -> NDArray[np.int64]:
        """Rows not yet refused; of placebos or of the others only, where asked."""
        rows = [
            i
            for i, candidate in enumerate(self.candidates)
            if i not in self.verdicts
            and (placebos is None or candidate.plan.edit.is_placebo == placebos)
        ]
        return np.array(rows, dtype=np.int64)

    def refuse(
        self, row: int, stage: Stage, reasons: Sequence[str], merged_into: str | None = None
    ) -> None:
        """Close a case, when there are reasons to."""
        if reasons:
            self.verdicts[row] = Verdict(
                candidate_id=self.candidates[row].id,
                accepted=False,
                stage=stage,
                reasons=tuple(reasons),
                merged_into=merged_into,
            )


def judge(
    candidates: Sequence[Candidate],
    measured: Arrays,
    real: RealReference,
    pool: PoolMatches,
    params: RunParams,
) -> Judgement:
    """Verdicts on all candidates of a run.

    Args:
        candidates: in the order of the measured rows.
        measured: arrays of `measure_batch`, batches concatenated.
        real: the run's real images.
        pool: what each candidate is close to in the pool that the run started from.
    """
    docket = _docket(candidates, measured, real, pool, params)
    for row in docket.open_rows():
        placebo = candidates[row].plan.edit.is_placebo
        reasons = plausibility_reasons(docket.plausibility[row], params.plausible, placebo)
        docket.refuse(row, Stage.PLAUSIBLE, reasons)
    _merge_duplicates(docket, pool, params)
    for row in docket.open_rows(placebos=False):
        docket.refuse(row, Stage.USEFUL, _novelty_reasons(docket.novelty[row], real, params))
    for row in docket.open_rows():
        placebo = candidates[row].plan.edit.is_placebo
        scores = docket.scores[row]
        s_i_asked = 1.0 if placebo else scores.s_i
        docket.refuse(row, Stage.SCORE, score_reasons(s_i_asked, scores.realism, params.score))
    artifact = _judge_honesty(docket, measured, real, params)
    survivors = docket.open_rows(placebos=False)
    _spend_budget(docket, survivors, real.windows, params)
    chosen = np.flatnonzero(np.isin(survivors, docket.open_rows(placebos=False)))
    coverage = None
    if 0 < len(chosen) < len(survivors):
        coverage = coverage_against_random(
            docket.embedding[survivors], chosen, COVERAGE_DRAWS, np.random.default_rng(0)
        )
    figures = RunFigures(
        calibration=real.calibration(),
        ko_method=real.probe.method,
        is_alarming=(artifact["auc"] or 0.0) > params.honest.alarm_auc,
        coverage=coverage,
        **artifact,
    )
    return Judgement(
        judged=tuple(_judged(docket, i) for i in range(len(candidates))), figures=figures
    )


def _docket(
    candidates: Sequence[Candidate],
    measured: Arrays,
    real: RealReference,
    pool: PoolMatches,
    params: RunParams,
) -> _Docket:
    """All scores that need no other candidate."""
    source = measured["source"]
    typical = {
        name: reference.typicalities(measured[name], source)
        for name, reference in real.references.items()
    }
    spreads = real.spreads
    seam = [spreads["seam"].typicality(float(v)) for v in measured["seam"].ravel()]
    whole = [spreads["speckle"].typicality(1 - float(v)) for v in measured["continuity"].ravel()]
    embedding, before = measured["embedding"], measured["before"]
    novelty = novelty_distance(embedding, before, real.windows, pool.cosine)
    distance = real.distance_to_company(embedding, source)
    ko_after = real.probe.score(embedding, source)
    ko_before = real.probe.score(before, source)
    drop = ablation_drop(ko_after, ko_before)
    duplicate_distance = 1 - params.deduplicate.max_cosine
    scores, plausibility = [], []
    for i, candidate in enumerate(candidates):
        realism_i = realism(float(typical["lbp"][i]), float(typical["gradient"][i]))
        utility_i = utility(float(novelty[i]), spreads["novelty"], duplicate_distance)
        figures = Plausibility(
            bead_iou=float(measured["bead_iou"][i]),
            inside_share=float(measured["inside_share"][i]),
            histogram=min(float(typical["quantiles"][i]), float(typical["colour"][i])),
            seam=seam[i],
            change=float(measured["change"][i]),
        )
        physical = d_phys(
            figures.histogram,
            min(float(typical["border"][i]), seam[i]),
            min(whole[i], confinement(figures.inside_share)),
        )
        semantic = d_clip(float(distance[i]), spreads["company"])
        plausibility.append(figures)
        scores.append(
            Scores(
                candidate_id=candidate.id,
                s_i=s_i(realism_i, utility_i, params.score.weight_realism),
                realism=realism_i,
                utility=utility_i,
                d_plaus=d_plaus(semantic, physical, params.score.weight_clip),
                gates=figures.model_dump()
                | {
                    "quantiles": float(typical["quantiles"][i]),
                    "colour": float(typical["colour"][i]),
                    "lbp": float(typical["lbp"][i]),
                    "gradient": float(typical["gradient"][i]),
                    "border": float(typical["border"][i]),
                    "continuity": whole[i],
                    "novelty": float(novelty[i]),
                    "d_clip": semantic,
                    "d_phys": physical,
                    "ko_before": float(ko_before[i]),
                    "ko_after": float(ko_after[i]),
                    "ko_drop": float(drop[i]),
                },
            )
        )
    return _Docket(candidates, scores, plausibility, embedding, novelty, {}, {})


def novelty_distance(
    embedding: NDArray[np.float32],
    before: NDArray[np.float32],
    real: NDArray[np.float32],
    pool_cosine: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Cosine distance to the nearest known window: real ones, the pool's, and the unedited self."""
    nearest = np.maximum((embedding * before).sum(axis=1), pool_cosine)
    if len(real):
        nearest = np.maximum(nearest, (embedding @ real.T).max(axis=1))
    return np.asarray(np.clip(1.0 - nearest, 0.0, 2.0), dtype=np.float32)


def _merge_duplicates(docket: _Docket, pool: PoolMatches, params: RunParams) -> None:
    """Near-duplicates within the run and against the pool; placebos among themselves."""
    for row in docket.open_rows():
        if (keeper := pool.duplicate_of[row]) is not None:
            docket.refuse(row, Stage.DEDUPLICATE, ("near-duplicate in the pool",), keeper)
    for placebos in (False, True):
        rows = docket.open_rows(placebos)
        scores = np.array([docket.scores[i].s_i for i in rows])
        result = duplicate_clusters(docket.embedding[rows], scores, params.deduplicate.max_cosine)
        for row, into in zip(rows, result.merged_into, strict=True):
            if into >= 0:
                keeper = docket.candidates[rows[into]].id
                docket.merged.setdefault(int(rows[into]), []).append(docket.candidates[row].id)
                docket.refuse(row, Stage.DEDUPLICATE, ("near-duplicate in this run",), keeper)


def _novelty_reasons(distance: float, real: RealReference, params: RunParams) -> tuple[str, ...]:
    """U_i's two ends as reasons."""
    exotic = 2 * real.spreads["novelty"].q99
    redundant = 1 - params.deduplicate.max_cosine
    if distance >= exotic:
        return (
            f"exotic: {distance:.3f} from the nearest known image, real ones end at {exotic:.3f}",
        )
    if distance <= redundant:
        return (f"redundant: {distance:.4f} from the nearest known image",)
    return ()


def _judge_honesty(
    docket: _Docket, measured: Arrays, real: RealReference, params: RunParams
) -> dict[str, float | None]:
    """Gate 3 on what is left; returns the figures of the run."""
    rows = docket.open_rows()
    residual, source = measured["residual"], measured["source"]
    is_placebo = np.array([docket.candidates[i].plan.edit.is_placebo for i in rows], dtype=bool)
    report = real_vs_synthetic(
        real.residuals, real.sources, residual[rows], source[rows], params.run_seed
    )
    rises = []
    for row, p_synthetic in zip(rows, report.p_synthetic, strict=True):
        placebo = docket.candidates[row].plan.edit.is_placebo
        drop = docket.scores[row].gates["ko_drop"]
        reasons = honesty_reasons(float(p_synthetic), drop, drop, placebo, params.honest)
        gates = docket.scores[row].gates | {"p_synthetic": float(p_synthetic)}
        docket.scores[row] = docket.scores[row].model_copy(update={"gates": gates})
        docket.refuse(int(row), Stage.HONEST, reasons)
        if placebo:
            rises.append(drop)
    placebos = rows[is_placebo] if len(rows) else rows
    placebo_report = real_vs_synthetic(
        real.residuals, real.sources, residual[placebos], source[placebos], params.run_seed
    )
    return {
        "auc": _finite(report.auc),
        "auc_low": _finite(report.auc_low),
        "auc_high": _finite(report.auc_high),
        "placebo_auc": _finite(placebo_report.auc),
        "placebo_rise": float(np.mean(rises)) if rises else None,
    }


def _spend_budget(
    docket: _Docket, survivors: NDArray[np.int64], anchors: NDArray[np.float32], params: RunParams
) -> None:
    """Per prompt, the most diverse `target` survivors stay."""
    for spec in params.budgets:
        rows = np.array(
            [
                i
                for i in survivors
                if docket.candidates[i].plan.edit.prompt == spec.prompt
                and docket.candidates[i].plan.edit.kind == spec.kind
            ],
            dtype=np.int64,
        )
        if len(rows) <= spec.target:
            continue
        if params.useful.method == "dpp":
            quality = np.array([docket.scores[i].s_i for i in rows])
            picks = dpp_greedy_embeddings(docket.embedding[rows], quality, spec.target)
        else:
            picks = k_center_greedy(docket.embedding[rows], spec.target, anchors)
        for row in np.delete(rows, picks):
            reason = f"over budget: {spec.target} of {len(rows)} kept for diversity"
            docket.refuse(int(row), Stage.USEFUL, (reason,))


def _judged(docket: _Docket, row: int) -> Judged:
    candidate = docket.candidates[row]
    verdict = docket.verdicts.get(row, Verdict(candidate_id=candidate.id, accepted=True))
    merged = tuple(sorted(docket.merged.get(row, [])))
    return Judged(
        candidate=candidate, scores=docket.scores[row], verdict=verdict, merged_ids=merged
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
