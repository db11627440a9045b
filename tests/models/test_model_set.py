"""A set's description: who measures alike, what images say of it, what trained it."""

import shutil

import numpy as np
import pytest
from adapted import adapted_tiny, lineage_of, structure_of
from PIL import Image

from tasks.domain.errors import ModelSetError
from tasks.domain.records import Making
from tasks.factory.render import SOUND, render_weld
from tasks.factory.styles import DEMO_PLANT
from tasks.models.model_set import STRUCTURE, open_model_set, write_model_set

MAKING = Making(
    algorithm=7, feather_px=2.0, device="cpu", dtype="float32", hardware="AVX512", threads=2,
    device_batch=16, libraries={"torch": "2.9"},
)  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    paths = [folder / f"{i}.png" for i in range(3)]
    for index, path in enumerate(paths):
        Image.fromarray(render_weld(DEMO_PLANT, SOUND, 300 + index).image_rgb).save(path)
    return paths


@pytest.fixture(scope="module")
def adapted(photographs, tmp_path_factory):
    return adapted_tiny(tmp_path_factory.mktemp("sets") / "adapted", photographs)


def test_an_adapted_set_is_another_set_with_the_same_embedder(adapted):
    tiny = open_model_set("tiny")
    assert adapted.fingerprint != tiny.fingerprint
    assert adapted.embedder_fingerprint == tiny.embedder_fingerprint


@pytest.mark.parametrize("changed", ["weights", "revision"])
def test_another_embedder_measures_otherwise(changed, adapted):
    tiny = open_model_set("tiny")
    weights = "embedder/open_clip_model.safetensors"
    update = {
        "weights": {"files": tiny.files | {weights: "0" * 64}},
        "revision": {"embedder": tiny.embedder.model_copy(update={"revision": "other"})},
    }
    other = tiny.model_copy(update=update[changed])
    assert other.embedder_fingerprint != adapted.embedder_fingerprint


def test_the_images_of_an_adapted_set_name_its_base(adapted):
    tiny = open_model_set("tiny")
    assert adapted.provenance(MAKING)["adapted_from"] == {
        "set": "tiny", "set_version": tiny.version, "fingerprint": tiny.fingerprint,
    }  # fmt: skip
    assert "adapted_from" not in tiny.provenance(MAKING)


def test_images_are_of_generation_0_unless_generated_ones_were_learned_from(photographs):
    tiny = open_model_set("tiny")
    real, later = (lineage_of(photographs, base_generation=base) for base in (0, 3))
    first, *rest = real.sources
    learned = real.model_copy(
        update={"sources": (first.model_copy(update={"generation": 1}), *rest)}
    )
    for update, generation in (
        ({}, 0),
        ({"lineage": real}, 0),
        ({"lineage": later}, 3),
        ({"lineage": learned}, 2),
        ({"trained_on_synthetic": True}, 1),
        ({"trained_on_synthetic": True, "lineage": real}, 1),
    ):
        assert tiny.model_copy(update=update).generation == generation


def test_fine_structure_is_a_row_a_source_and_nothing_without_a_lineage(adapted, photographs):
    assert np.array_equal(adapted.structure(), structure_of(photographs))
    assert open_model_set("tiny").structure().shape == (0, adapted.structure().shape[1])


def test_fine_structure_that_is_gone_changed_or_short_is_no_guard(adapted, photographs):
    path = adapted.root / STRUCTURE
    whole = path.read_bytes()
    for damage in (lambda: path.write_bytes(whole[:-1] + b"x"), path.unlink):
        damage()
        with pytest.raises(ModelSetError, match="as adapt_generator wrote it"):
            adapted.structure()
    path.write_bytes(whole)
    write_model_set(adapted.model_copy(update={"lineage": lineage_of(photographs[:2])}))
    with pytest.raises(ModelSetError, match=r"\(2, 2304\) structure"):
        open_model_set(str(adapted.root)).structure()


def test_what_lies_beside_a_sets_files_does_not_change_the_set(tmp_path):
    tiny = open_model_set("tiny")
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    for stray in ("embedder/a.safetensors.part", "README.md", "sam_vit_h_4b8939.pth"):
        (tmp_path / stray).write_bytes(b"stray")
    write_model_set(tiny.model_copy(update={"root": tmp_path}))
    assert open_model_set(str(tmp_path)).fingerprint == tiny.fingerprint
    (tmp_path / "embedder/another.json").write_text("{}")
    write_model_set(tiny.model_copy(update={"root": tmp_path}))
    assert open_model_set(str(tmp_path)).fingerprint != tiny.fingerprint
