"""Score: a detector's logits on its validation fold, the test, and whatever else is asked."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import BadInput
from tasks.domain.records import Ref, RunContext
from tasks.domain.trial_parameters import DetectorParams
from tasks.domain.trial_records import ScoredSet, Trained
from tasks.models.detector import network_logits, probe_logits, view_features
from tasks.models.device import resolve_device
from tasks.models.loading import embedder
from tasks.stage import stage
from tasks.store.files import ContentStore
from tasks.views import stacked_views

HELD_OUT = frozenset({"validation", "placebo"})  # of these only the detector's own fold is scored


@stage(
    version=1,
    run_name="score {trained.training.arm} {trained.training.share} #{trained.training.seed}",
    needs_gpu=True,
)
def score_detector(
    trained: Trained, sets: Sequence[ScoredSet], context: RunContext, params: DetectorParams
) -> Ref:
    """Logits (n, 2) of each set by its name, and `NAME.id`, the ids of its rows.

    Of the sets `validation` and `placebo` only the detector's own fold is scored.

    Raises:
        BadInput: a logit is not finite.
    """
    store = ContentStore(context.store_uri)
    weights = store.get_arrays(trained.weights)
    found = {}
    for one in sets:
        arrays = stacked_views(store, one.views)
        keep = np.ones(len(arrays["id"]), dtype=bool)
        if one.name in HELD_OUT:
            keep = arrays["fold"] == trained.training.fold
        if one.name == "placebo":
            keep &= ~arrays["is_ko"]
        logits = _logits(weights, arrays["view"][keep], context, params)
        if not np.isfinite(logits).all():
            raise BadInput(
                f"Expected finite scores of {one.name}, but the detector of arm "
                f"{trained.training.arm} diverged; lower detector.learning_rate"
            )
        found[one.name], found[f"{one.name}.id"] = logits, arrays["id"][keep]
    return store.put_arrays(found)


def _logits(
    weights: dict[str, NDArray[np.generic]],
    views: NDArray[np.uint8],
    context: RunContext,
    params: DetectorParams,
) -> NDArray[np.float64]:
    """(n, 2) logits of views by the detector's kind."""
    if params.kind == "cnn":
        return network_logits(weights, views, resolve_device(context.device))
    if not len(views):
        return np.zeros((0, 2))
    with embedder(context.models, context.models_fingerprint, context.device) as model:
        return probe_logits(weights, view_features(model, list(views)))
