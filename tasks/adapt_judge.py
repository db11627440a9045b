"""Judge an adaptation: the adapted set against its base, on parts that it has not learned from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.adapt_paint import Painted
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.adaptation_verdict import (
    AdaptationFigures,
    AdaptationVerdict,
    PairedDifferences,
    SetFigures,
    verdict,
)
from tasks.domain.artifact_difference import auc_difference
from tasks.domain.bootstrap import Estimate, estimate
from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.faithfulness import faithfulness
from tasks.domain.images import display_range, display_rgb
from tasks.domain.kid import kid_difference
from tasks.domain.luminance import luminance
from tasks.domain.memorisation import Memorisation, memorised_share
from tasks.domain.records import SOUND, Record, Ref, RunContext
from tasks.domain.resizing import resized_mask, resized_rgb
from tasks.domain.window import crop
from tasks.judge import concatenated
from tasks.models.loading import inpainter
from tasks.sources import source_pixels
from tasks.stage import stage
from tasks.store.files import ContentStore

Arrays = Mapping[str, NDArray[Any]]


class AdaptationJudgement(Record):
    """The verdict with all its figures.

    `shown` is the share of candidates that show their kind, by kind, of base and adapted;
    `probe_recall` what the probe that says so is worth on real windows; `copies` the adapted
    candidates nearest to a training window, by position, with that similarity.
    """

    figures: AdaptationFigures
    verdict: AdaptationVerdict
    shown: dict[str, tuple[Estimate, Estimate]]
    probe_recall: dict[str, float]
    copies: tuple[tuple[int, float], ...]


@stage(version=1, run_name="reconstruct by {context.models}", needs_gpu=True)
def reconstruct_windows(windows: Sequence[Ref], context: RunContext) -> Ref:
    """`psnr` (n,) in dB of each window after one way through the set's autoencoder; `source`."""
    store = ContentStore(context.store_uri)
    arrays: Arrays = concatenated(store, windows)
    with inpainter(context.models, context.models_fingerprint, context.device) as model:
        again = model.reconstructed(list(arrays["image"]))
    error = np.stack(again) - arrays["image"].astype(np.float32)
    mse = np.maximum((error**2).mean(axis=(1, 2, 3)), 1e-3)
    return store.put_arrays({"psnr": 10 * np.log10(255.0**2 / mse), "source": arrays["source"]})


@stage(version=2, run_name="judge the adaptation of {context.models}")
def judge_adaptation(
    learning: Sequence[Ref],
    judging: Sequence[Ref],
    described: Sequence[Ref],
    reconstructed: tuple[Ref, Ref],
    base: Painted,
    adapted: Painted,
    groups: Mapping[str, str],
    context: RunContext,
    params: AdaptParams,
) -> AdaptationJudgement:
    """Figures of base and adapted on held-out parts, their paired differences, and the verdict.

    Args:
        learning, judging: windows learned from, and windows of parts held out.
        described: `describe_batch` of the held-out images.
        reconstructed: of the judging windows, by base and adapted.
        base, adapted: the same edits painted by both.
        groups: the part of each source by id.
    """
    store = ContentStore(context.store_uri)
    draws, seed = params.judgement.draws, params.run_seed
    seen: Arrays = concatenated(store, learning)
    real: Arrays = concatenated(store, judging)
    zones: Arrays = concatenated(store, described)
    made = [_Made(store, one, groups) for one in (base, adapted)]
    psnr = _psnr(store, reconstructed, groups, draws, seed)
    kid = _kid(real, made, groups, draws, seed)
    shown = [
        faithfulness(
            seen["embedding"], seen["kind"], _parts(seen["source"], groups),
            one.rows[one.is_defect], one.kinds[one.is_defect], one.parts[one.is_defect],
            draws, seed,
        )
        for one in made
    ]  # fmt: skip
    edits = _auc(zones, made, groups, draws, seed, placebos=False)
    placebos = _auc(zones, made, groups, draws, seed, placebos=True)
    copies = _copies(store, adapted, made[1], seen, params)
    sides = [
        SetFigures(
            psnr_db=psnr[i], kid=None if kid is None else kid[i],
            faithfulness=shown[i].shares.get("all"),
            real_vs_synthetic_auc=edits[i], placebo_auc=placebos[i],
            memorised=None if i == 0 or copies is None else copies.estimate,
        )
        for i in range(2)
    ]  # fmt: skip
    figures = AdaptationFigures(
        base=sides[0],
        adapted=sides[1],
        difference=PairedDifferences(
            psnr_db=psnr[2], kid=None if kid is None else kid[2],
            real_vs_synthetic_auc=edits[2], placebo_auc=placebos[2],
        ),
    )  # fmt: skip
    kinds = sorted(shown[0].shares.keys() & shown[1].shares.keys())
    return AdaptationJudgement(
        figures=figures,
        verdict=verdict(figures, params.judgement),
        shown={kind: (shown[0].shares[kind], shown[1].shares[kind]) for kind in kinds},
        probe_recall=shown[1].probe_recall,
        copies=() if copies is None else _nearest(copies, np.flatnonzero(made[1].is_defect)),
    )


class _Made:
    """What one set painted, row by row: embeddings, residuals, kinds and parts."""

    def __init__(self, store: ContentStore, painted: Painted, groups: Mapping[str, str]) -> None:
        arrays: Arrays = concatenated(store, painted.measured)
        self.rows, self.residual = arrays["embedding"], arrays["residual"]
        self.kinds = np.array([plan.edit.kind for plan in painted.plans], dtype=np.str_)
        self.is_defect = self.kinds != SOUND
        self.parts = _parts(arrays["source"], groups)


def _parts(sources: NDArray[Any], groups: Mapping[str, str]) -> NDArray[np.str_]:
    """The part that each source shows."""
    return np.array([groups[str(one)] for one in sources], dtype=np.str_)


def _psnr(
    store: ContentStore,
    reconstructed: tuple[Ref, Ref],
    groups: Mapping[str, str],
    draws: int,
    seed: int,
) -> tuple[Estimate, Estimate, Estimate]:
    """Mean PSNR of base and adapted and their paired difference, whole parts drawn."""
    base, adapted = (store.get_arrays(ref) for ref in reconstructed)
    (times,) = cluster_draws(draws, seed, _parts(base["source"], groups))
    total = np.maximum(times.sum(axis=1), 1)
    values = [base["psnr"], adapted["psnr"], adapted["psnr"] - base["psnr"]]
    found = [estimate(float(v.mean()), (times * v).sum(axis=1) / total) for v in values]
    return found[0], found[1], found[2]


def _kid(
    real: Arrays, made: Sequence[_Made], groups: Mapping[str, str], draws: int, seed: int
) -> tuple[Estimate, Estimate, Estimate] | None:
    """KID of base, adapted and adapted - base to real defects held out, kind by kind.

    None where no window is held out of any kind that was painted.
    """
    is_defect = real["kind"] != SOUND
    kinds = real["kind"][is_defect]
    painted = [one.kinds[one.is_defect] for one in made]
    if not {*kinds.tolist()}.intersection(*(one.tolist() for one in painted)):
        return None
    base, adapted = made
    found = kid_difference(
        real["embedding"][is_defect], _parts(real["source"][is_defect], groups),
        adapted.rows[adapted.is_defect], adapted.parts[adapted.is_defect],
        base.rows[base.is_defect], base.parts[base.is_defect],
        draws, seed, kinds, painted[1], painted[0],
    )  # fmt: skip
    return found[1], found[0], found[2]


def _auc(
    zones: Arrays,
    made: Sequence[_Made],
    groups: Mapping[str, str],
    draws: int,
    seed: int,
    *,
    placebos: bool,
) -> tuple[Estimate, Estimate, Estimate]:
    """AUC of real against edited zones: base, adapted, adapted - base; sound zones for placebos."""
    keep = zones["zone_label"] == "OK" if placebos else np.ones(len(zones["zone_label"]), bool)
    real, parts = zones["zone_residual"][keep], _parts(zones["zone_source"][keep], groups)
    rows = [one.is_defect != placebos for one in made]
    base, adapted = made
    found = auc_difference(
        real, parts, adapted.residual[rows[1]], adapted.parts[rows[1]],
        base.residual[rows[0]], base.parts[rows[0]], draws, seed,
    )  # fmt: skip
    return found[1], found[0], found[2]


def _copies(
    store: ContentStore, painted: Painted, made: _Made, seen: Arrays, params: AdaptParams
) -> Memorisation | None:
    """How many of the adapted set's defects repeat a window it learned; None without defects."""
    rows = np.flatnonzero(made.is_defect)
    if not len(rows):
        return None
    side_px = seen["image"].shape[1]
    greys, zones = [], []
    for row in rows:
        plan = painted.plans[row]
        value_range = display_range(source_pixels(store, plan.source))
        view = display_rgb(store.get_image(painted.images[row]), value_range)
        greys.append(luminance(resized_rgb(crop(view, plan.window_xywh), side_px)))
        zones.append(resized_mask(crop(store.get_mask(plan.region), plan.window_xywh), side_px))
    return memorised_share(
        made.rows[rows], np.stack(greys), np.stack(zones), seen["embedding"],
        np.stack([luminance(image) for image in seen["image"]]),
        threshold=params.judgement.similarity,
        sources=np.array([painted.plans[row].source.id for row in rows]),
        train_sources=seen["source"],
    )  # fmt: skip


def _nearest(
    copies: Memorisation, rows: NDArray[np.int64], most: int = 8
) -> tuple[tuple[int, float], ...]:
    """The candidates nearest to a training window, nearest first."""
    order = np.argsort(-copies.similarity)[:most]
    return tuple((int(rows[i]), float(copies.similarity[i])) for i in order)
