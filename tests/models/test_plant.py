"""Adapting to a plant: kills and times change nothing, and diverging weights are not kept."""

from dataclasses import replace

import pytest
import torch
from plant_training import adapt, base, hashes

from tasks.models.training import plant
from tasks.models.training.adaptation import Recipe
from tasks.models.training.plant import Budget, PlantTraining

SHORT = Recipe(batch=4, check_every=2, seed=3)
FIXED = Budget(2, 0.0, 6, 0.0)


class Killed(BaseException):
    """Stands for the end of the process: nothing in between may catch it."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> PlantTraining:
    return adapt(tmp_path_factory.mktemp("undisturbed"), SHORT, FIXED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "rank"),
    [("vae 2/2", 0), ("learning from", 0), ("adapt 2/6", 0), ("adapt 4/6", 0), ("adapt 4/6", 4)],
)
def test_a_killed_training_ends_in_the_weights_of_an_undisturbed_one(
    undisturbed, tmp_path, moment, rank
):
    recipe = replace(SHORT, lora_rank=rank)
    whole = undisturbed if rank == 0 else adapt(tmp_path / "whole", recipe, FIXED)

    def kill(line: str) -> None:
        if line.startswith(moment):
            raise Killed

    with pytest.raises(Killed):
        adapt(tmp_path / "work", recipe, FIXED, log=kill)
    again = adapt(tmp_path / "work", recipe, FIXED)
    assert again.adapted.losses == whole.adapted.losses
    assert again.adapted.best_step == whole.adapted.best_step
    assert again.adapted.weights.keys() == whole.adapted.weights.keys()
    for name, value in whole.adapted.weights.items():
        assert torch.equal(again.adapted.weights[name], value), name
    assert hashes(again.folder) == hashes(whole.folder)


@pytest.mark.slow
def test_steps_are_decided_once_whatever_the_machine_does_later(tmp_path, monkeypatch):
    budget = Budget(None, 1.0, None, 2.0)
    monkeypatch.setattr(plant, "_seconds", lambda step: 0.5)
    first = adapt(tmp_path, SHORT, budget)
    assert (first.decoder_steps, first.adapted.steps) == (2, 4)
    monkeypatch.setattr(plant, "_seconds", lambda step: 0.01)
    (tmp_path / "inpainter.pt").unlink()
    again = adapt(tmp_path, SHORT, budget)
    assert (again.decoder_steps, again.adapted.steps) == (2, 4)


@pytest.mark.slow
def test_measuring_the_pace_leaves_no_trace_in_the_weights(tmp_path):
    """A resumed training does not measure again: what measuring changed would set it apart."""
    measured = adapt(tmp_path / "measured", SHORT, Budget(None, 1e-6, None, 1e-6))
    told = adapt(tmp_path / "told", SHORT, Budget(1, 0.0, 1, 0.0))
    assert (measured.decoder_steps, measured.adapted.steps) == (1, 1)
    assert hashes(measured.folder) == hashes(told.folder)


def test_weights_that_diverge_at_once_are_not_kept(tmp_path):
    pipeline = base()
    before = {k: v.clone() for k, v in pipeline.unet.state_dict().items()}
    recipe = Recipe(batch=4, check_every=1, learning_rate=1e30)
    trained = adapt(tmp_path, recipe, Budget(0, 0.0, 20, 0.0), pipeline)
    assert trained.adapted.best_step == 0
    assert trained.adapted.steps <= 5
    for name, value in pipeline.unet.state_dict().items():
        assert torch.equal(value, before[name].half()), name
