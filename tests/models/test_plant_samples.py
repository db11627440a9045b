"""Samples of a plant: regions, captions and fair changes, decided by the seed."""

from dataclasses import replace

import numpy as np
from plant_training import LEARNING, SHAPES, SOUND_WORDS, STILL, WORDS

from tasks.domain.records import SOUND
from tasks.models.training.plant_samples import (
    Augmentation,
    PlantWindows,
    Wording,
    plant_samples,
)


def samples(fair: Augmentation, copies: int = 1, seed: int = 0, windows: PlantWindows = LEARNING):
    wording = Wording(dict(WORDS), SOUND_WORDS, {kind: f"<{kind}>" for kind in WORDS})
    return list(plant_samples(windows, wording, SHAPES, fair, copies, seed))


TURNED = Augmentation(quarter_turns=True)


def test_a_region_covers_its_defect_and_a_sound_one_lies_in_the_surface():
    surfaces = PlantWindows(  # the surface as image: it is turned as the window is
        np.repeat(np.where(LEARNING.surfaces, 200, 0)[..., None], 3, axis=3).astype(np.uint8),
        LEARNING.surfaces, LEARNING.defects, LEARNING.kinds,
    )  # fmt: skip
    kinds = list(LEARNING.kinds) * 6
    for kind, one in zip(kinds, samples(TURNED, 6, windows=surfaces), strict=True):
        surface = one.image[..., 0] > 0
        assert one.region.any()
        assert not (one.region & ~(surface | one.defect)).any()
        if kind == SOUND:
            assert not one.defect.any()
        else:
            assert one.defect.any()
            assert not (one.defect & ~one.region).any()


def test_a_mask_turns_with_its_image():
    images = np.full(LEARNING.images.shape, 60, dtype=np.uint8)
    images[LEARNING.defects] = 180
    marked = PlantWindows(images, LEARNING.surfaces, LEARNING.defects, LEARNING.kinds)
    for one in samples(TURNED, 6, windows=marked):
        assert np.array_equal(one.image[..., 0] > one.image.min(), one.defect)


def test_about_85_in_100_captions_name_the_token_and_no_sound_one_does():
    made = samples(STILL, 60)
    kinds = np.array(list(LEARNING.kinds) * 60)
    captions = np.array([one.caption for one in made])
    assert set(captions[kinds == SOUND]) == {SOUND_WORDS}
    for kind, words in WORDS.items():
        own = captions[kinds == kind]
        assert set(own) == {f"{words} <{kind}>", f"<{kind}>", words}
    defects = captions[kinds != SOUND]
    token = np.array(["<" in caption for caption in defects])
    assert len(defects) == 480
    assert abs(token.mean() - 0.85) < 0.05
    words = np.array([caption.startswith("<") for caption in defects])
    assert abs(words.mean() - 0.15) < 0.05


def test_only_fair_changes_are_made():
    for one, image in zip(samples(STILL), LEARNING.images, strict=True):
        assert np.array_equal(one.image, image)
    down = replace(STILL, flip_rows=True)
    seen = set()
    for one, image in zip(samples(down, 4), np.tile(LEARNING.images, (4, 1, 1, 1)), strict=True):
        forms = {"as it is": image, "upside down": image[::-1]}
        found = [name for name, form in forms.items() if np.array_equal(one.image, form)]
        assert found
        seen.add(found[0])
    assert seen == {"as it is", "upside down"}


def test_samples_are_decided_by_the_seed():
    first, same, other = (samples(TURNED, 2, seed) for seed in (1, 1, 2))
    for a, b in zip(first, same, strict=True):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.region, b.region)
        assert a.caption == b.caption
    assert any(not np.array_equal(a.image, b.image) for a, b in zip(first, other, strict=True))
    half = len(first) // 2
    assert any(
        not np.array_equal(a.region, b.region)
        for a, b in zip(first[:half], first[half:], strict=True)
    )
