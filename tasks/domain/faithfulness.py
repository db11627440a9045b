"""Faithfulness: the share of made windows that show what they were prompted for.

f_k = P(argmax_j p_j(e) = k | prompted k), p a multinomial logistic regression, L2-regularised and
balanced, on centred embeddings of real windows of each kind and sound ones, scaled to RMS length 1
(a linear probe: Alain & Bengio 2016; a real-data classifier on generated images: the converse of
Ravuri & Vinyals, NeurIPS 2019). Intervals: bootstrap over sources. The share cannot be read without
the probe's own recall on real windows of sources it never saw, which stands beside it.
"""

import warnings
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tasks.domain.bootstrap import Estimate, estimate
from tasks.domain.cluster_draws import cluster_draws
from tasks.domain.errors import BadInput, ShapeError
from tasks.domain.luminance import FloatArray
from tasks.domain.records import Record

_Floats = npt.NDArray[np.float64]
_Names = npt.NDArray[np.str_]

ALL = "all"
MIN_WINDOWS = 3
MAX_FOLDS = 5
_MIN_SPREAD = 1e-4


class Faithfulness(Record):
    """Share of made windows the probe takes for what was prompted, by kind and over `all` of them.

    `probe_recall` is the probe's recall on real windows, out of fold by group, by kind (nan for a
    kind of a single group), its mean over kinds under `all`; 1/kinds is chance. `left_out` are the
    kinds with too few real windows. Without two kinds to tell apart both tables are empty.
    """

    shares: dict[str, Estimate]
    probe_recall: dict[str, float]
    left_out: tuple[str, ...]


def faithfulness(
    train_rows: FloatArray,
    train_kinds: npt.NDArray[Any],
    train_groups: npt.NDArray[Any],
    made_rows: FloatArray,
    made_kinds: npt.NDArray[Any],
    made_groups: npt.NDArray[Any],
    draws: int,
    seed: int,
) -> Faithfulness:
    """Whether made windows show what they were prompted for, by a probe of real ones.

    Args:
        train_rows: (n, d) unit rows of real windows.
        train_kinds: (n,) kind of defect, or `sound`.
        train_groups: (n,) source or part of each.
        made_rows: (m, d) unit rows of candidates' windows.
        made_kinds: (m,) the kind prompted; `sound` for a placebo.
        made_groups: (m,) the sources they were edited from.
        draws: bootstrap resamples, 1 or more.
        seed: decides resamples and folds.

    Raises:
        BadInput: a row is not finite.
        ShapeError: the shapes do not match.
    """
    rows, kinds = _required(train_rows, train_kinds, train_groups, "real")
    made, asked = _required(made_rows, made_kinds, made_groups, "made")
    counts = Counter(kinds.tolist())
    known = sorted(kind for kind in counts if counts[kind] >= MIN_WINDOWS)
    left_out = tuple(sorted({*counts, *asked.tolist()} - set(known)))
    if len(known) < 2:
        return Faithfulness(shares={}, probe_recall={}, left_out=left_out)
    is_known, is_asked = np.isin(kinds, known), np.isin(asked, known)
    rows, kinds, names = rows[is_known], kinds[is_known], np.asarray(train_groups)[is_known]
    shares = {}
    if is_asked.any():
        predicted = _fitted(rows, kinds).predict(made[is_asked])
        sources = np.asarray(made_groups)[is_asked]
        shares = _shares(predicted == asked[is_asked], asked[is_asked], sources, draws, seed)
    return Faithfulness(
        shares=shares, probe_recall=_probe_recall(rows, kinds, names, seed), left_out=left_out
    )


def _shares(
    is_hit: npt.NDArray[np.bool_],
    kinds: _Names,
    groups: npt.NDArray[Any],
    draws: int,
    seed: int,
) -> dict[str, Estimate]:
    """The share of hits by kind and of all, with intervals over sources."""
    (times,) = cluster_draws(draws, seed, groups)
    out = {}
    for name in (*sorted(set(kinds.tolist())), ALL):
        member = np.ones(len(kinds), dtype=bool) if name == ALL else kinds == name
        drawn, hits = times[:, member].sum(axis=1), times[:, member & is_hit].sum(axis=1)
        share = np.full(draws, np.nan)
        np.divide(hits, drawn, out=share, where=drawn > 0)
        out[name] = estimate(float(is_hit[member].mean()), share)
    return out


def _probe_recall(
    rows: _Floats, kinds: _Names, groups: npt.NDArray[Any], seed: int
) -> dict[str, float]:
    """Recall by kind on sources the probe never saw, and the mean under `all`."""
    apart = {kind: len(set(groups[kinds == kind].tolist())) for kind in sorted(set(kinds.tolist()))}
    tried = [kind for kind, count in apart.items() if count > 1]
    recall = dict.fromkeys((*apart, ALL), float("nan"))
    if not tried or len(apart) < 2:
        return recall
    folds = min(MAX_FOLDS, *(apart[kind] for kind in tried))
    predicted = np.full(len(rows), "", dtype=kinds.dtype)
    for train, test in _splits(kinds, groups, folds, seed):
        if len(test) and len(set(kinds[train].tolist())) > 1:
            predicted[test] = _fitted(rows[train], kinds[train]).predict(rows[test])
    for kind in tried:
        recall[kind] = float((predicted[kinds == kind] == kind).mean())
    recall[ALL] = float(np.mean([recall[kind] for kind in tried]))
    return recall


def _splits(
    kinds: _Names, groups: npt.NDArray[Any], folds: int, seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Training and test rows of each fold; groups whole, kinds spread evenly."""
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a kind of one group, rarer than the folds
        return list(splitter.split(kinds, kinds, groups))


def _fitted(rows: _Floats, kinds: _Names) -> Pipeline:
    """The probe, standardised as the KO score's is."""
    mean = rows.mean(axis=0)
    scale = max(float(np.sqrt(((rows - mean) ** 2).sum(axis=1).mean())), _MIN_SPREAD)
    centred = FunctionTransformer(lambda values: (values - mean) / scale)
    model = make_pipeline(centred, LogisticRegression(class_weight="balanced", max_iter=2000))
    return model.fit(rows, kinds)


def _required(
    rows: FloatArray, kinds: npt.NDArray[Any], groups: npt.NDArray[Any], name: str
) -> tuple[_Floats, _Names]:
    """Rows in float64 and kinds as text, once they are known to match."""
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or not len(values) == len(kinds) == len(groups):
        raise ShapeError(
            f"Expected (n, d) {name} rows with a kind and a group each, but got {values.shape}, "
            f"{len(kinds)} and {len(groups)}"
        )
    if not np.isfinite(values).all():
        raise BadInput(f"Expected finite {name} rows, but got nan or inf; leave those windows out")
    return values, np.asarray(kinds, dtype=np.str_)
