"""The renderer: deterministic, exact masks, any size, plants apart."""

import numpy as np
import pytest

from tasks.domain.errors import BadParameters
from tasks.factory.captions import CAPTIONS, PROMPTS, caption
from tasks.factory.defects import DEFECTS
from tasks.factory.render import SOUND, TRAINED_KINDS, UNSEEN_KIND, render_weld
from tasks.factory.scenes import MIN_AREA_PX, segmentation_scene
from tasks.factory.styles import (
    DEMO_PLANT,
    HELD_OUT_MARGIN,
    HELD_OUT_PLANTS,
    OTHER_PLANT,
    random_style,
    style_distance,
)
from tasks.factory.windows import window_samples


def test_equal_seeds_give_equal_pixels_and_others_do_not():
    one, same, other = (render_weld(DEMO_PLANT, "crack", seed) for seed in (3, 3, 4))
    assert np.array_equal(one.image_rgb, same.image_rgb)
    assert np.array_equal(one.defect_mask, same.defect_mask)
    assert not np.array_equal(one.image_rgb, other.image_rgb)


@pytest.mark.parametrize("kind", DEFECTS)
@pytest.mark.parametrize("style", [DEMO_PLANT, OTHER_PLANT], ids=["demo", "other"])
def test_the_defect_changes_pixels_inside_its_mask_and_hardly_any_outside(kind, style):
    inside, outside = [], []
    for seed in range(4):
        sound, flawed = render_weld(style, SOUND, seed), render_weld(style, kind, seed)
        change = np.abs(flawed.image_rgb.astype(int) - sound.image_rgb).mean(axis=2)
        inside.append(change[flawed.defect_mask].mean())
        outside.append(change[~flawed.defect_mask].mean())
        assert 20 < flawed.defect_mask.sum() < 0.1 * flawed.defect_mask.size
        assert not sound.defect_mask.any()
    assert np.mean(inside) > 12
    assert np.mean(outside) < 0.8
    assert np.mean(inside) > 25 * np.mean(outside)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 211), (600, 800)])
def test_any_size(height, width):
    weld = render_weld(DEMO_PLANT, "porosity", 5, height_px=height, width_px=width)
    assert weld.image_rgb.shape == (height, width, 3)
    assert weld.image_rgb.dtype == np.uint8
    assert weld.bead_mask.shape == weld.defect_mask.shape == (height, width)
    assert 0.03 < weld.bead_mask.mean() < 0.6


def test_wrong_arguments_say_what_was_expected():
    with pytest.raises(BadParameters, match="crack"):
        render_weld(DEMO_PLANT, "rust", 0)
    with pytest.raises(BadParameters, match="32 px"):
        render_weld(DEMO_PLANT, SOUND, 0, height_px=16)


def test_the_unseen_kind_is_in_no_caption_and_no_training_window():
    kinds = {sample.kind for sample in window_samples(1, 150)}
    assert kinds == {SOUND, *TRAINED_KINDS}
    assert UNSEEN_KIND not in CAPTIONS
    assert UNSEEN_KIND in DEFECTS


def test_training_never_sees_a_held_out_plant():
    rng = np.random.default_rng(0)
    distances = [
        style_distance(random_style(rng), plant) for _ in range(300) for plant in HELD_OUT_PLANTS
    ]
    assert min(distances) > HELD_OUT_MARGIN
    assert style_distance(DEMO_PLANT, DEMO_PLANT) == 0


def test_windows_hold_their_defect_and_its_caption():
    rng = np.random.default_rng(0)
    for sample in window_samples(2, 60):
        assert sample.image_rgb.shape == (64, 64, 3)
        assert sample.defect_mask.any() == (sample.kind != SOUND)
        assert sample.caption in CAPTIONS[sample.kind]
        assert sample.bead_mask.mean() > 0.05
    assert caption("crack", rng) in CAPTIONS["crack"]
    assert set(PROMPTS) == set(CAPTIONS)


def test_windows_are_reproducible():
    first, again = list(window_samples(9, 8)), list(window_samples(9, 8))
    assert all(np.array_equal(a.image_rgb, b.image_rgb) for a, b in zip(first, again, strict=True))


def test_scenes_name_every_thing_and_the_bead_first():
    beads = 0
    for seed in range(12):
        image, masks = segmentation_scene(seed, 128)
        assert image.shape == (128, 128, 3)
        assert all(mask.shape == (128, 128) for mask in masks)
        assert all(mask.sum() >= MIN_AREA_PX for mask in masks[1:])
        beads += masks[0].sum() > 0.02 * masks[0].size
    assert beads >= 10
