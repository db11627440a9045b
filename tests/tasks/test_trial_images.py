"""The guard of a trial's images: what trained a model set counts as seen, by name and in words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from adapted import adapted_tiny, lineage_of, structure_of
from landed import columns, run_row, source_row
from PIL import Image

from tasks.domain.errors import BadInput, ModelSetError
from tasks.domain.records import RunContext, Source
from tasks.domain.trial_parameters import SplitParams, TrialParams
from tasks.domain.trial_records import ViewedImage
from tasks.domain.view import WHOLE
from tasks.factory.render import SOUND, render_weld
from tasks.factory.styles import DEMO_PLANT
from tasks.models.model_set import STRUCTURE, open_model_set
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.images import decoded_pixels
from tasks.store.lineages import encoded_lineage
from tasks.store.rows import PoolRow
from tasks.trial_images import TrialImages
from tasks.trial_run import PoolRows
from tasks.views import structure_batch, structure_sources


def photograph(path: Path, seed: int) -> Path:
    Image.fromarray(render_weld(DEMO_PLANT, SOUND, seed).image_rgb).save(path)
    return path


@dataclass
class Trial:
    """Four training and four test images, and what the guard says of them."""

    home: Path

    def __post_init__(self):
        self.store = ContentStore(str(self.home / "store"))
        self.paths = {
            name: photograph(self.home / f"{name}.png", 800 + index)
            for index, name in enumerate(f"{part}{i}" for part in ("train", "test") for i in "0123")
        }
        self.group_of_uri: dict[str, str] = {}
        self.groups = {name: f"part-{name}" for name in self.paths}
        self.pool = str(self.home / "pool")

    def land(self, lineage: str = "") -> None:
        data = self.paths["train0"].read_bytes()
        source = source_row(self.viewed("train0").source.id, uri="/a", bytes=data)
        Archive(self.pool).land(
            run_row("r1", lineage=lineage), pool=[PoolRow(**columns("a", source_id=source.id))],
            rejected=[], sources=[source], embedding_dim=8,
        )  # fmt: skip

    def viewed(self, name: str) -> ViewedImage:
        data = self.paths[name].read_bytes()
        image = self.store.put_image(decoded_pixels(data, max_pixels=10**7, min_side_px=1))
        source = Source(
            id=self.store.put(data).sha256, name=f"{name}.png", uri=self.paths[name].as_uri(),
            label="OK" if name[-1] in "02" else "KO", kind=SOUND, image=image,
            width_px=256, height_px=256,
        )  # fmt: skip
        return ViewedImage(source=source, frame=WHOLE, group=self.groups[name], fold=-1)

    def guarded(self, models: str = "tiny", leaks: str = "refuse") -> TrialImages:
        parts = [[self.viewed(f"{part}{i}") for i in "0123"] for part in ("train", "test")]
        images = TrialImages(
            train=parts[0], test=parts[1], ood={}, refusals=[], without_bead=0,
            group_of_uri=self.group_of_uri, fold_of_group={"part-train0": 1, "part-train1": 0},
        )  # fmt: skip
        context = RunContext(
            store_uri=str(self.home / "store"), store_identity=self.store.identity, models=models,
            models_fingerprint=open_model_set(models).fingerprint, device="cpu",
        )  # fmt: skip
        rows = PoolRows.of(self.pool, None)
        self.known = structure_sources.fn(
            rows.selection("sources"), rows.selection("lineages"), context
        )
        fine = structure_batch.fn([one.source for one in images.everything()], context)
        params = TrialParams(
            dataset="x", pool=self.pool, models=models, split=SplitParams(leaks=leaks)
        )
        return images.without_leaks([fine], self.known, self.store, params)


@pytest.fixture
def trial(tmp_path) -> Trial:
    return Trial(tmp_path)


def trained_on(trial: Trial, way: str) -> Path:
    """An image that a model set was trained on, and that test0 is, shares a part with, or copies.

    The part by where the image lay; by its bytes it is none that the dataset lists.
    """
    if way == "source":
        return trial.paths["test0"]
    path = trial.home / "seen.png"
    if way == "near-duplicate":
        Image.open(trial.paths["test0"]).resize((230, 230)).save(path)
        return path
    photograph(path, 990)
    trial.group_of_uri[path.resolve().as_uri()] = "part-test0"
    return path


WORDS = {
    "source": r"test0\.png is the same image as test0\.png \(trained the model set\)",
    "group": r"test0\.png is of group part-test0, as seen\.png \(trained the model set\)",
    "near-duplicate": r"test0\.png is a near-duplicate of seen\.png \(trained the model set\)",
}


@pytest.mark.parametrize("way", WORDS)
@pytest.mark.parametrize("where", ["pool", "own set"])
def test_what_trained_a_model_set_is_refused_in_the_test_by_name(trial, where, way):
    seen = trained_on(trial, way)
    paths = [photograph(trial.home / "unrelated.png", 991), seen]
    if where == "pool":
        trial.land(encoded_lineage(lineage_of(paths).sources, structure_of(paths)))
        models = "tiny"
    else:
        trial.land()
        models = adapted_tiny(trial.home / "adapted", paths).root
    with pytest.raises(BadInput, match=rf"knows 1 of them: {WORDS[way]}"):
        trial.guarded(str(models))
    kept = trial.guarded(str(models), leaks="drop")
    assert list(kept.dropped) == ["test0.png"]
    assert [one.source.name for one in kept.test] == ["test1.png", "test2.png", "test3.png"]


def test_a_part_is_known_by_the_bytes_of_a_listed_image_wherever_it_lay(trial):
    trial.groups["test3"] = "part-test2"
    moved = trial.home / "moved.png"
    moved.write_bytes(trial.paths["test2"].read_bytes())
    trial.land(encoded_lineage(lineage_of([moved]).sources, structure_of([moved])))
    words = r"test3\.png is of group part-test2, as test2\.png \(trained the model set\)"
    with pytest.raises(BadInput, match=words):
        trial.guarded()


def test_other_images_of_the_plant_in_a_lineage_are_no_leak_and_the_pool_says_its_own(trial):
    paths = [photograph(trial.home / f"other{i}.png", 1990 + i) for i in range(6)]
    paths.append(trial.paths["train1"])
    trial.land(encoded_lineage(lineage_of(paths).sources, structure_of(paths)))
    images = trial.guarded()
    assert len(images.test) == 4
    known = trial.store.get_arrays(trial.known)
    assert known["role"].tolist() == ["source of the pool"] + ["trained the model set"] * 7
    trial.paths["test0"].write_bytes(trial.paths["train0"].read_bytes())
    trial.paths["train0"] = photograph(trial.home / "fresh.png", 993)
    with pytest.raises(BadInput, match=r"same image as test0\.png \(source of the pool\)"):
        trial.guarded()


def test_the_place_of_a_pools_row_is_that_of_its_own_source(trial):
    """A lineage that names the same bytes at the place of another part changes nothing."""
    trial.land()
    before = trial.guarded().places(trial.known, trial.store)
    assert {place.fold for place in before.values()} == {1}
    paths = [trial.paths["train1"], trial.paths["train0"]]
    models = adapted_tiny(trial.home / "adapted", paths)
    trial.group_of_uri[paths[1].resolve().as_uri()] = "part-train1"
    assert trial.guarded(str(models.root)).places(trial.known, trial.store) == before


def test_the_count_of_training_images_that_the_generator_knows_is_the_pools(trial):
    paths = [trial.paths["train0"], trial.paths["train2"], trial.home / "other.png"]
    photograph(paths[-1], 994)
    trial.land(encoded_lineage(lineage_of(paths).sources, structure_of(paths)))
    known = PoolRows.of(trial.pool, None).trained_on
    assert known == {one.id for one in lineage_of(paths).sources}


def test_a_set_whose_structure_was_changed_does_not_guard(trial):
    trial.land()
    models = adapted_tiny(trial.home / "adapted", [trial.paths["train0"]])
    from safetensors.numpy import save_file

    save_file({"structure": np.zeros((1, 2304), np.float32)}, models.root / STRUCTURE)
    with pytest.raises(ModelSetError, match=STRUCTURE):
        trial.guarded(str(models.root))
