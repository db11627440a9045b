"""Detectors: reproducible to the bit, blind to batch size, and able to learn what is plain."""

import threading

import numpy as np
import pytest
import torch

from tasks.domain.errors import BadInput
from tasks.models.detector import (
    network_logits,
    probe_logits,
    trained_network,
    trained_probe,
    view_features,
)
from tasks.models.loading import embedder
from tasks.models.model_set import open_model_set

STEPS = 40


def views(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey noise; every second view has a dark spot somewhere, given by its mask."""
    rng = np.random.default_rng(seed)
    made = rng.normal(120, 12, (n, 32, 64, 3)).clip(0, 255).astype(np.uint8)
    is_ko, defect = np.arange(n) % 2 == 1, np.zeros((n, 32, 64), dtype=bool)
    for row in np.flatnonzero(is_ko):
        top, left = rng.integers(2, 24), rng.integers(2, 56)
        defect[row, top : top + 5, left : left + 5] = True
    made[defect] = 20
    return made, is_ko, defect


def trained(seed: int = 1, *, masks: bool = True) -> dict[str, np.ndarray]:
    batches = [views(step, 16) for step in range(STEPS)]
    batches = [(made, is_ko, defect & masks) for made, is_ko, defect in batches]
    return trained_network(
        iter(batches), steps=STEPS, width=6, learning_rate=0.01, seed=seed, device="cpu"
    )


@pytest.mark.parametrize("masks", [True, False])
def test_a_network_learns_a_plain_defect_and_scores_fresh_views(masks):
    made, is_ko, _ = views(999, 100)
    logits = network_logits(trained(masks=masks), made, "cpu")
    assert logits.shape == (100, 2)
    score = logits[:, 1] - logits[:, 0]
    assert ((score > 0) == is_ko).mean() > 0.95
    alone = network_logits(trained(masks=masks), made[3:4], "cpu")
    assert alone[0] == pytest.approx(logits[3], abs=1e-4)
    assert network_logits(trained(), made[:0], "cpu").shape == (0, 2)


def test_masks_show_what_the_defect_is_where_another_sign_goes_with_it():
    """A bright corner goes with every defect in training, and with sound views in the test."""
    batches = []
    for step in range(STEPS):
        made, is_ko, defect = views(step, 16)
        made[is_ko, :6, :6] = 255
        batches.append((made, is_ko, defect))
    made, is_ko, _ = views(999, 100)
    made[~is_ko, :6, :6] = 255
    right = []
    for masks in (True, False):
        given = [(shown, label, defect & masks) for shown, label, defect in batches]
        weights = trained_network(
            iter(given), steps=STEPS, width=6, learning_rate=0.01, seed=1, device="cpu"
        )
        score = network_logits(weights, made, "cpu")[:, 1]
        right.append(np.mean(score[is_ko][:, None] > score[~is_ko]))
    assert right[0] > 0.95
    assert right[1] < right[0]


def test_equal_seeds_give_equal_bits_even_side_by_side():
    alone, found = trained(), {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: trained(1 + i % 2)})) for i in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, value in alone.items():
        assert np.array_equal(value, found[0][name]), name
        assert np.array_equal(value, found[2][name]), name
    assert any(not np.array_equal(value, found[1][name]) for name, value in alone.items())


def test_a_training_leaves_the_threads_of_the_process_as_they_were():
    """A run's rounding depends on them, and its rows record them."""
    before, later = torch.get_num_threads(), []
    network_logits(trained(), views(1, 4)[0], "cpu")
    other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert [torch.get_num_threads(), *later] == [before, before]


def test_the_probe_separates_what_its_features_separate():
    rng = np.random.default_rng(0)
    is_ko = np.arange(80) < 30
    features = rng.normal(0, 1, (80, 12)).astype(np.float32)
    features[is_ko, 3] += 4
    weights = trained_probe(features, is_ko)
    score = np.diff(probe_logits(weights, features))[:, 0]
    assert ((score > 0) == is_ko).mean() > 0.9
    assert probe_logits(weights, features[:0]).shape == (0, 2)
    with pytest.raises(BadInput, match="one class"):
        trained_probe(features, np.ones(80, bool))


def test_features_are_mean_and_maximum_over_the_windows_of_a_view():
    tiny = open_model_set("tiny")
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (64, 128, 3), dtype=np.uint8)
    with embedder("tiny", tiny.fingerprint, "cpu") as model:
        features = view_features(model, [wide, wide[:, ::-1].copy()])
        rows = model.embed([wide[:, left : left + 64] for left in (0, 32, 64)])
    assert features.shape == (2, 2 * tiny.embedding_dim)
    assert features[0] == pytest.approx(np.concatenate([rows.mean(0), rows.max(0)]), abs=1e-5)
