"""Train: one detector of one arm, on the exposures that all arms share."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.copy_paste import pasted
from tasks.domain.errors import BadInput
from tasks.domain.exposure import Exposure, drawn, mix_of
from tasks.domain.perturbation import classically_augmented
from tasks.domain.records import RunContext
from tasks.domain.trial_parameters import DetectorParams
from tasks.domain.trial_records import Trained, Training
from tasks.models.detector import trained_network, trained_probe, view_features
from tasks.models.device import resolve_device
from tasks.models.loading import embedder
from tasks.stage import stage
from tasks.store.files import ContentStore
from tasks.views import Arrays, stacked_views

PROBE_DRAWS = 1000  # exposures that stand for all, where each must be embedded
Batch = tuple[NDArray[np.uint8], NDArray[np.bool_]]


@stage(version=2, run_name="train {training.arm} {training.share} #{training.seed}", tags=("gpu",))
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
    views, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
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
        self.views = {
            "ok_real": real["view"][~real["is_ko"]],
            "ko_real": real["view"][real["is_ko"]],
        }
        nothing = real["view"][:0]
        self.views |= {"ko_synthetic": nothing, "ok_placebo": nothing}
        self.defects = real["defect"][real["is_ko"]]
        if training.synthetic:
            made = _without_fold(stacked_views(store, training.synthetic), training.fold)
            if training.arm == "no_gate_3":
                made = _rows(made, np.isin(made["stage"], ["", "honest"]))
            self.views["ko_synthetic"] = made["view"][made["is_ko"]]
            self.views["ok_placebo"] = made["view"][~made["is_ko"]]
        if training.arm == "copy_paste":
            self.copied = np.flatnonzero(self.defects.any(axis=(1, 2)))
            self.views["ko_synthetic"] = self.views["ko_real"][self.copied]
            if not len(self.copied):
                raise BadInput("Expected masks of real defects to copy, but the dataset has none")

    def counts(self) -> Exposure:
        """Images of each origin; defects to copy count as synthetic ones."""
        return Exposure(**{name: len(views) for name, views in self.views.items()})

    def batch(self, draw: dict[str, NDArray[np.int64]], rng: np.random.Generator) -> Batch:
        """The views of one step and whether they are KO."""
        views = {name: self.views[name][rows] for name, rows in draw.items() if len(rows)}
        if self.training.arm == "copy_paste" and len(draw["ko_synthetic"]):
            copies = [self._pasted(int(row), rng) for row in draw["ko_synthetic"]]
            views["ko_synthetic"] = np.stack(copies)
        labels = [np.full(len(part), name.startswith("ko")) for name, part in views.items()]
        shown = np.concatenate(list(views.values()))
        if self.training.arm == "classic":
            shown = np.stack([classically_augmented(view, rng) for view in shown])
        return shown, np.concatenate(labels)

    def _pasted(self, row: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A real defect on a random sound view."""
        defect = int(self.copied[row])
        sound = self.views["ok_real"][rng.integers(len(self.views["ok_real"]))]
        return pasted(
            sound, self.views["ko_real"][defect], self.defects[defect], rng,
            along_only=self.training.along_only,
        )  # fmt: skip


def _without_fold(arrays: Arrays, fold: int) -> Arrays:
    """The rows that another fold validates."""
    return _rows(arrays, arrays["fold"] != fold)


def _rows(arrays: Arrays, keep: NDArray[np.bool_]) -> Arrays:
    return {name: array[keep] for name, array in arrays.items()}
