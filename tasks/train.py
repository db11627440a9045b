"""Train: one detector of one arm, on the exposures that all arms share."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.copy_paste import pasted
from tasks.domain.errors import BadInput
from tasks.domain.exposure import Exposure, drawn, mix_of
from tasks.domain.perturbation import classically_augmented, mirrored
from tasks.domain.records import RunContext
from tasks.domain.trial_parameters import DetectorParams
from tasks.domain.trial_records import Trained, Training
from tasks.models.detector import trained_network, trained_probe, view_features
from tasks.models.device import resolve_device
from tasks.models.loading import embedder
from tasks.stage import stage
from tasks.store.files import ContentStore
from tasks.views import Arrays, stacked_views

Example = tuple[NDArray[np.uint8], NDArray[np.bool_]]
PROBE_DRAWS = 1000  # exposures that stand for all, where each must be embedded
Batch = tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]


@stage(version=3, run_name="train {training.arm} {training.share} #{training.seed}", needs_gpu=True)
def train_detector(training: Training, context: RunContext, params: DetectorParams) -> Trained:
    """A detector that saw no image of its own fold, and none made from one.

    Raises:
        BadInput: an origin that the arm needs has no image, or nothing can be copied.
    """
    store = ContentStore(context.store_uri)
    examples = _Examples(store, training)
    steps = params.steps
    if params.kind == "probe":
        steps = -(-PROBE_DRAWS // params.batch_size)
    counts = examples.counts()
    part, share = training.placebo_part, training.share
    if not counts.ok_placebo:  # the same dose of synthetic defects as an arm with placebos
        part, share = 0.0, share * (1 - part)
    plan = mix_of(share, params.batch_size, params.ko_share, part)
    rng = np.random.default_rng((training.seed, 17))
    draws = list(drawn(plan, steps, counts, rng))
    batches = (examples.batch(draw, rng) for draw in draws)
    if params.kind == "probe":
        weights = _probe(batches, context)
    else:
        weights = trained_network(
            batches, steps=steps, width=params.width, learning_rate=params.learning_rate,
            seed=training.seed, device=resolve_device(context.device),
        )  # fmt: skip
    shown = {name: sum(len(draw[name]) for draw in draws) for name in Exposure.model_fields}
    return Trained(training=training, weights=store.put_arrays(weights), exposure=Exposure(**shown))


def _probe(batches: Iterator[Batch], context: RunContext) -> dict[str, NDArray[Any]]:
    """A probe on the embeddings of everything shown, each distinct view embedded once."""
    views, labels, _ = (np.concatenate(part) for part in zip(*batches, strict=True))
    keys = [view.tobytes() for view in views]
    distinct = dict.fromkeys(keys)
    place = {key: row for row, key in enumerate(distinct)}
    first = [keys.index(key) for key in distinct]
    with embedder(context.models, context.models_fingerprint, context.device) as model:
        features = view_features(model, list(views[first]))
    return trained_probe(features[[place[key] for key in keys]], labels)


class _Examples:
    """The views one training may see, by origin."""

    def __init__(self, store: ContentStore, training: Training) -> None:
        self.training = training
        real = _without_fold(stacked_views(store, training.real), training.fold)
        nothing = _rows(real, np.zeros(len(real["view"]), dtype=np.bool_))
        self.origins = {
            "ok_real": _rows(real, ~real["is_ko"]),
            "ko_real": _rows(real, real["is_ko"]),
            "ko_synthetic": nothing,
            "ok_placebo": nothing,
        }
        if training.synthetic:
            made = _without_fold(stacked_views(store, training.synthetic), training.fold)
            if training.arm == "no_gate_3":
                made = _rows(made, np.isin(made["stage"], ["", "honest"]))
            made["defect"] &= made["is_ko"][:, None, None]
            self.origins["ko_synthetic"] = _rows(made, made["is_ko"])
            self.origins["ok_placebo"] = _rows(made, ~made["is_ko"])
        if training.arm == "copy_paste":
            is_known = np.asarray(self.origins["ko_real"]["defect"].any(axis=(1, 2)))
            self.origins["ko_synthetic"] = _rows(self.origins["ko_real"], is_known)
            if not is_known.any():
                raise BadInput("Expected masks of real defects to copy, but the dataset has none")

    def counts(self) -> Exposure:
        """Images of each origin; defects to copy count as synthetic ones."""
        return Exposure(**{name: len(rows["view"]) for name, rows in self.origins.items()})

    def batch(self, draw: dict[str, NDArray[np.int64]], rng: np.random.Generator) -> Batch:
        """The views of one step, mirrored at random; whether they are KO; their defects."""
        shown = [
            (self._varied(name, int(row), rng), name.startswith("ko"))
            for name, rows in draw.items()
            for row in rows
        ]
        views, defects = (np.stack(part) for part in zip(*(one for one, _ in shown), strict=True))
        return views, np.array([is_ko for _, is_ko in shown]), defects

    def _varied(self, name: str, row: int, rng: np.random.Generator) -> Example:
        """One exposure of an image: pasted where the arm pastes, mirrored, and in one arm more."""
        origin = self.origins[name]
        view, defect = origin["view"][row], origin["defect"][row]
        if self.training.arm == "copy_paste" and name == "ko_synthetic":
            sound = self.origins["ok_real"]["view"]
            onto = sound[rng.integers(len(sound))]
            view, defect = pasted(onto, view, defect, rng, along_only=self.training.along_only)
        view, defect = mirrored(view, defect, rng)
        if self.training.arm == "classic":
            view, defect = classically_augmented(view, defect, rng)
        return view, defect


def _without_fold(arrays: Arrays, fold: int) -> Arrays:
    """The rows that another fold validates."""
    return _rows(arrays, arrays["fold"] != fold)


def _rows(arrays: Arrays, keep: NDArray[np.bool_]) -> Arrays:
    return {name: array[keep] for name, array in arrays.items()}
