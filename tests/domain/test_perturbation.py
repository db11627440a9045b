"""Perturbations do what they are called, more at each severity, and augmentation keeps a view."""

import numpy as np
import pytest

from tasks.domain.perturbation import (
    SEVERITIES,
    classically_augmented,
    mirrored,
    perturbed,
    rotated,
)
from tasks.factory.render import render_weld
from tasks.factory.styles import DEMO_PLANT

VIEW = render_weld(DEMO_PLANT, "crack", 3).image_rgb[96:160]


@pytest.mark.parametrize("name", list(SEVERITIES))
def test_a_higher_severity_changes_more(name):
    changes = []
    for amount in SEVERITIES[name]:
        out = perturbed(VIEW, name, amount, np.random.default_rng(0))
        assert out.shape == VIEW.shape
        assert out.dtype == np.uint8
        changes.append(np.abs(out.astype(float) - VIEW).mean())
    assert 0 < changes[0] < changes[1] < changes[2]


def test_each_perturbation_is_what_its_name_says():
    rng = np.random.default_rng(0)
    grey = np.full((64, 64, 3), 120, np.uint8)
    assert perturbed(grey, "noise", 8.0, rng).std() == pytest.approx(8, abs=0.5)
    assert perturbed(grey, "brightness", 0.7, rng).mean() == pytest.approx(84)
    assert perturbed(VIEW, "blur", 2.0, rng).std() < VIEW.std()
    line = np.zeros((65, 65, 3), np.float32)
    line[32] = 200.0
    turned = rotated(line, 45.0)
    assert turned[20, 44].max() > 100 or turned[44, 44].max() > 100
    assert turned[32, 10].max() < 50


def marked() -> tuple[np.ndarray, np.ndarray]:
    """A view with one white patch, and the patch's mask."""
    view, mask = VIEW // 2, np.zeros(VIEW.shape[:2], bool)
    mask[20:30, 40:60] = True
    view[mask] = 255
    return view, mask


def test_augmentation_differs_from_draw_to_draw_and_stays_near_the_view():
    rng = np.random.default_rng(0)
    nothing = np.zeros(VIEW.shape[:2], bool)
    variants = [classically_augmented(VIEW, nothing, rng)[0] for _ in range(20)]
    assert len({variant.tobytes() for variant in variants}) == 20
    assert all(variant.shape == VIEW.shape for variant in variants)
    assert np.mean([variant.mean() for variant in variants]) == pytest.approx(VIEW.mean(), rel=0.06)
    again, _ = classically_augmented(VIEW, nothing, np.random.default_rng(0))
    assert np.array_equal(again, variants[0])


@pytest.mark.parametrize("variant", [classically_augmented, mirrored])
def test_a_defects_mask_moves_with_it(variant):
    rng, places = np.random.default_rng(0), set()
    for _ in range(20):
        view, mask = variant(*marked(), rng)
        bright = view.min(axis=2) > 180
        assert (bright & mask).sum() / (bright | mask).sum() > 0.85
        places.add(tuple(np.argwhere(mask)[0]))
    assert len(places) >= 4
