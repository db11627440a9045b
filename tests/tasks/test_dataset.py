"""What a pool is grown from: the training part as listed, with the model set's own words."""

import csv
import shutil

import pytest
from PIL import Image

from tasks.dataset import growth_of, open_dataset, prompts_of
from tasks.domain.errors import BadInput
from tasks.domain.parameters import PromptSpec
from tasks.domain.trial_parameters import GrowthParams, SplitParams, TrialParams
from tasks.models.model_set import BUNDLED, ModelSet, open_model_set, write_model_set
from tasks.store.listing import list_images

BOXES = ((12, 40, 30, 8), (60, 5, 9, 9))


@pytest.fixture
def trial(tmp_path) -> TrialParams:
    """24 parts, a third of them scratched: one scratch with boxes, one with a mask."""
    Image.new("L", (80, 70), 255).save(tmp_path / "mask.png")
    with (tmp_path / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "kind", "group", "split", "mask", "box"])
        for index in range(24):
            Image.new("RGB", (80, 70), (index, 90, 90)).save(tmp_path / f"{index}.png")
            split, group = "test" if index % 2 else "train", f"part {index}"
            row = [f"{index}.png", "OK", "", group, split, "", ""]
            if index % 6 < 2:
                row = [f"{index}.png", "KO", "scratch", group, split, "", ""]
            row[5] = "mask.png" if index == 6 else ""
            row[6] = "12 40 30 8;60 5 9 9" if index == 12 else ""
            writer.writerow(row)
    return TrialParams(
        dataset=str(tmp_path / "data.csv"), pool=str(tmp_path / "pool"), seeds=2,
        split=SplitParams(folds=2), arms=("real", "filtered"),
    )  # fmt: skip


def test_masks_and_boxes_reach_the_manifest_that_a_pool_is_grown_from(trial, tmp_path):
    division, _ = open_dataset(trial)
    growth = growth_of(trial, division, (PromptSpec(kind="scratch", prompt="a scratch"),))
    files, _ = list_images(growth.images)
    marked = {file.path: (file.boxes, file.mask) for file in files if file.boxes or file.mask}
    assert marked == {
        str(tmp_path / "12.png"): (BOXES, None),
        str(tmp_path / "6.png"): ((), str(tmp_path / "mask.png")),
    }
    assert {file.path for file in files} == {str(tmp_path / f"{i}.png") for i in range(0, 24, 2)}


def plant_set(tmp_path, prompts: dict[str, str]) -> ModelSet:
    """The tiny set under other words."""
    folder = tmp_path / "plant"
    shutil.copytree(BUNDLED["tiny"], folder)
    tiny = open_model_set(str(folder))
    write_model_set(tiny.model_copy(update={"name": "plant", "kinds": (), "prompts": prompts}))
    return open_model_set(str(folder))


def test_prompts_are_those_of_the_model_set(trial, tmp_path):
    models = plant_set(tmp_path, {"scratch": "a bright scratch", "rust": "red rust"})
    params = trial.model_copy(update={"models": str(models.root)})
    division, _ = open_dataset(params)
    (found,) = prompts_of(params, division)
    assert (found.kind, found.prompt) == ("scratch", "a bright scratch")


def test_kinds_without_a_prompt_are_refused_with_those_that_have_one(trial):
    division, _ = open_dataset(trial)
    with pytest.raises(BadInput, match=r"kinds scratch.*tiny has prompts for crack"):
        prompts_of(trial, division)
    own = (PromptSpec(kind="scratch", prompt="a scratch"),)
    params = trial.model_copy(update={"grow": GrowthParams(prompts=own)})
    assert prompts_of(params, division) == own
