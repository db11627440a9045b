"""The guard: the same image, the same part, a near-duplicate are named; other parts pass."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tasks.domain.errors import BadInput
from tasks.domain.leakage import (
    SIDE_PX,
    Seen,
    fine_structure,
    leaks,
    nearest_similarity,
    require_no_leaks,
)
from tasks.factory.render import SOUND, render_weld
from tasks.factory.styles import DEMO_PLANT

LIMIT = 0.9


def welds(first: int, count: int) -> list[np.ndarray]:
    return [render_weld(DEMO_PLANT, SOUND, first + i).image_rgb for i in range(count)]


def structures(images) -> np.ndarray:
    return np.stack([fine_structure(np.asarray(image.convert("RGB"))) if isinstance(
        image, Image.Image) else fine_structure(image) for image in images])  # fmt: skip


@pytest.fixture(scope="module")
def known() -> tuple[list[np.ndarray], np.ndarray]:
    images = welds(500, 12)
    return images, structures(images)


def changed(image: np.ndarray) -> dict[str, Image.Image]:
    whole = Image.fromarray(image)
    buffer = io.BytesIO()
    whole.save(buffer, "JPEG", quality=50)
    return {
        "recompressed": Image.open(buffer),
        "shrunk": whole.resize((150, 150)),
        "mirrored": ImageOps.mirror(whole),
        "turned": whole.rotate(90),
        "darker": Image.eval(whole, lambda v: int(v * 0.6)),
        "cropped": whole.crop((3, 3, 253, 253)),
    }


def test_disguised_copies_are_near_duplicates_and_other_parts_of_the_plant_are_not(known):
    images, fine = known
    for index, image in enumerate(images[:4]):
        variants = changed(image)
        similarity, place = nearest_similarity(structures(variants.values()), fine)
        for name, value, where in zip(variants, similarity, place, strict=True):
            assert value > LIMIT, name
            assert where == index, name
    similarity, _ = nearest_similarity(structures(welds(9000, 30)), fine)
    assert similarity.max() < LIMIT


def test_each_of_the_three_ways_is_named_with_what_it_was(known):
    images, fine = known
    copy = structures([changed(images[3])["mirrored"]])
    fresh = structures(welds(9100, 1))
    names = [f"train{i}.png" for i in range(len(images))]
    seen = Seen(
        sources={"abc": "train0.png (training)"}, groups={"part5": "train5.png (training)"},
        names=names, structure=fine,
    )  # fmt: skip
    test = [("same.png", "abc", "x"), ("part.png", "def", "part5"), ("near.png", "ghi", "y"),
            ("fresh.png", "jkl", "z")]  # fmt: skip
    found = leaks(test, np.concatenate([fresh, fresh, copy, fresh]), seen, LIMIT)
    assert set(found) == {"same.png", "part.png", "near.png"}
    assert "same image as train0.png" in found["same.png"]
    assert "of group part5, as train5.png" in found["part.png"]
    assert "near-duplicate of train3.png" in found["near.png"]
    with pytest.raises(BadInput, match=r"3 of them: same\.png is the same image as train0"):
        require_no_leaks(found)
    require_no_leaks({})


def test_a_uniform_image_resembles_nothing_and_nothing_known_is_no_leak():
    flat = fine_structure(np.full((80, 60, 3), 90, np.uint8))
    assert not flat.any()
    similarity, place = nearest_similarity(flat[None], np.zeros((0, SIDE_PX**2), np.float32))
    assert (similarity[0], place[0]) == (-1.0, -1)
