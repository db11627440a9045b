"""run_trial on rendered parts: no gain from nothing, no leak let through, nothing done twice."""

import csv
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from adapted import lineage_of, structure_of
from flow_runs import stage_states
from landed import run_row
from small_trial import KILLED_TRIAL, null_pool, render_dataset, small_trial

from flows.run_trial import run_trial
from tasks.domain.errors import BadInput
from tasks.domain.trial_parameters import ARMS
from tasks.domain.trial_records import TrialResult
from tasks.store.archive import Archive
from tasks.store.lineages import encoded_lineage
from tasks.store.trials import Trials


def covers_zero(one) -> bool:
    return one.low <= 0 <= one.high


HEADLINES = ("recall", "auroc", "cost")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trial") / "data"
    render_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def tried(dataset, tmp_path_factory):
    home = tmp_path_factory.mktemp("tried")
    params = small_trial(dataset, home)
    null_pool(params.pool)
    return params, run_trial(params)


def measures(result: TrialResult) -> dict:
    return {arm.arm: {k: v.value for k, v in arm.measures.items()} for arm in result.arms}


@pytest.mark.slow
def test_no_arm_gains_from_images_that_are_the_real_training_ones(tried):
    _, result = tried
    assert {arm.arm for arm in result.arms} == set(ARMS)
    assert result.synthetic["placebo"] == 24
    for arm in result.arms:
        if arm.arm in {"filtered", "unfiltered", "no_gate_3"}:
            for name in HEADLINES:
                assert covers_zero(arm.difference[name]), (arm.arm, name)


@pytest.mark.slow
def test_all_arms_have_one_budget(tried):
    _, result = tried
    totals = {arm.exposure.total for arm in result.arms}
    ko = {arm.exposure.ko_real + arm.exposure.ko_synthetic for arm in result.arms}
    assert totals == {25 * 32}
    assert ko == {25 * 16}
    filtered = next(arm for arm in result.arms if arm.arm == "filtered")
    shown = filtered.exposure.ko_synthetic + filtered.exposure.ok_placebo
    assert shown == pytest.approx(filtered.share * 25 * 32, abs=2)


@pytest.mark.slow
def test_the_trial_is_recorded_and_reported(tried):
    params, result = tried
    rows = Trials(params.pool).rows()
    assert [row["trial_id"] for row in rows] == [result.trial_id]
    assert rows[0]["recommended_share"] == result.recommended_share
    assert TrialResult.model_validate_json(rows[0]["result"]).trial_id == result.trial_id
    assert Trials(params.pool).champion() is None
    assert Archive(params.pool).verify().ok
    page = Path(result.report).read_text()
    assert "<script" not in page
    assert "real + filtered without gate 3" in page
    assert page.count("data:image/svg") == 5
    assert "What was not shown" in page


@pytest.mark.slow
def test_the_same_trial_again_computes_nothing_and_one_more_arm_only_itself(tried, tmp_path):
    params, result = tried
    again = run_trial(params.model_copy(update={"report": str(tmp_path / "again.html")}))
    assert measures(again) == measures(result)
    states = stage_states("run-trial", expected=60)
    assert len(states) >= 60
    assert set(states.values()) == {"Cached"}
    more = params.model_copy(update={"run_seed": 0, "arms": ("real", "filtered")})
    home = tmp_path / "more"
    shutil.copytree(params.pool, home / "pool")
    run_trial(more.model_copy(update={"store": f"{params.pool}.store"}))
    assert set(stage_states("run-trial", expected=40).values()) == {"Cached"}


@pytest.mark.slow
def test_another_arm_trains_only_itself(dataset, tmp_path):
    params = small_trial(dataset, tmp_path, arms=("real", "filtered"))
    null_pool(params.pool)
    first = run_trial(params)
    more = run_trial(params.model_copy(update={"arms": ("real", "filtered", "classic")}))
    computed = [name for name, state in stage_states("run-trial", 40).items() if state != "Cached"]
    assert sorted(name.split()[0] for name in computed) == [
        "evaluate", "score", "score", "train", "train",
    ]  # fmt: skip
    assert all("classic" in name for name in computed if name.startswith("train"))
    for arm, values in measures(first).items():
        assert measures(more)[arm] == values


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_it_finds_the_same(tried, dataset, tmp_path):
    _, undisturbed = tried
    params = small_trial(dataset, tmp_path)
    null_pool(params.pool)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_TRIAL, params.model_dump_json()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(random.Random(3).uniform(25, 45))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Trials(params.pool).rows()
    assert measures(run_trial(params)) == measures(undisturbed)


def manifest(path: Path, rows: list[dict]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "kind", "group", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def rows_of(dataset: Path) -> list[dict]:
    return [
        {
            "path": str(path),
            "label": "OK" if "/ok/" in path.as_posix() else "KO",
            "kind": path.parent.name if "/ko/" in path.as_posix() else "",
            "group": path.relative_to(dataset).as_posix(),
            "split": "test" if "/test/" in path.as_posix() else "train",
        }
        for path in sorted(dataset.rglob("*.png"))
        if "masks" not in path.parts and "ood" not in path.parts
    ]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["source", "group", "near-duplicate"])
def test_a_leak_of_each_kind_is_refused_by_name(tried, dataset, tmp_path, way):
    from PIL import Image

    params, _ = tried
    rows = rows_of(dataset)
    known = next(row for row in rows if row["split"] == "train" and row["label"] == "OK")
    planted = tmp_path / "planted.png"
    if way == "source":
        planted.write_bytes(Path(known["path"]).read_bytes())
    elif way == "near-duplicate":
        Image.open(known["path"]).resize((230, 230)).save(planted)
    else:
        # the pool once saw another image of this part, which the dataset now leaves out
        rows = [row for row in rows if row is not known]
        rows.append(known | {"split": "ood:seen-by-the-pool", "group": "part-x"})
        Image.fromarray(
            np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
        ).save(planted)
    group = "part-x" if way == "group" else "fresh"
    rows.append({"path": str(planted), "label": "OK", "kind": "", "group": group, "split": "test"})
    leaking = small_trial(
        Path(manifest(tmp_path / "m.csv", rows)), tmp_path,
        pool=params.pool, store=f"{params.pool}.store", report=str(tmp_path / "leak.html"),
    )  # fmt: skip
    words = {"source": "the same image as", "group": "of group part-x",
             "near-duplicate": "a near-duplicate of"}  # fmt: skip
    with pytest.raises(BadInput, match=f"planted.png is {words[way]}"):
        run_trial(leaking)
    assert not (tmp_path / "leak.html").exists()
    assert len(Trials(params.pool).rows()) <= 3


@pytest.mark.slow
def test_what_the_generator_was_adapted_on_is_told_of_training_and_refused_in_the_test(
    tried, dataset, tmp_path
):
    known, _ = tried
    pool = str(tmp_path / "pool")
    shutil.copytree(known.pool, pool)
    params = small_trial(
        dataset, tmp_path, arms=("real",), store=f"{known.pool}.store", mix={"shares": (0.0,)},
    )  # fmt: skip

    def adapt_on(part: str, count: int) -> None:
        paths = sorted((dataset / part / "ko").rglob("*.png"))[:count]
        lineage = encoded_lineage(lineage_of(paths).sources, structure_of(paths))
        run = run_row(part, Archive(pool).latest(), fingerprint=part, lineage=lineage)
        Archive(pool).land(run, pool=[], rejected=[], sources=[], embedding_dim=8)

    adapt_on("train", 5)
    result = run_trial(params)
    assert result.data.adapted_on == 5
    assert "adapted on 5 of the 36 training images" in Path(result.report).read_text()
    adapt_on("test", 1)
    with pytest.raises(BadInput, match=r"is the same image as .* \(trained the model set\)"):
        run_trial(params)
    assert run_trial(params.model_copy(update={"version": "v2"})).data.adapted_on == 5


@pytest.mark.slow
def test_a_forgotten_photograph_is_left_out_by_name_and_reason(tried, dataset, tmp_path):
    known, _ = tried
    pool = str(tmp_path / "pool")
    shutil.copytree(known.pool, pool)
    rows = rows_of(dataset)
    photo = next(row for row in rows if row["split"] == "train" and row["label"] == "OK")
    source = hashlib.sha256(Path(photo["path"]).read_bytes()).hexdigest()
    Archive(pool).forget(source, why="contract ended")
    copy = str(shutil.copy(photo["path"], tmp_path / "copy.png"))
    rows.append(photo | {"path": copy, "group": "fresh", "split": "test"})
    params = small_trial(
        Path(manifest(tmp_path / "m.csv", rows)), tmp_path, arms=("real",),
        store=f"{known.pool}.store", mix={"shares": (0.0,)},
    )  # fmt: skip
    result = run_trial(params)
    assert (result.data.train_ok, result.data.test_ok) == (23, 24)
    ((reason, names),) = result.data.refused.items()
    assert "contract ended" in reason
    assert sorted(names) == sorted([photo["path"], copy])
    assert "contract ended" in Path(result.report).read_text()


@pytest.mark.slow
def test_shuffled_labels_give_chance(dataset, tmp_path):
    rows = rows_of(dataset)
    for split in ("train", "test"):
        part = [row for row in rows if row["split"] == split]
        labels = [row["label"] for row in part]
        random.Random(5).shuffle(labels)
        for row, label in zip(part, labels, strict=True):
            row |= {"label": label, "kind": "" if label == "OK" else "defect"}
    params = small_trial(
        Path(manifest(tmp_path / "m.csv", rows)), tmp_path, arms=("real",),
        mix=small_trial(dataset, tmp_path).mix.model_copy(update={"shares": (0.0,)}),
    )  # fmt: skip
    null_pool(params.pool)
    result = run_trial(params)
    auroc = result.arms[0].measures["auroc"]
    assert auroc.low < 0.5 < auroc.high


def test_bad_data_stop_a_trial_before_anything_is_written(dataset, tmp_path):
    rows = rows_of(dataset)
    for wrong, message in (
        ([row for row in rows if row["label"] == "OK"], "needs both classes"),
        ([*rows, {**rows[0], "path": "gone.png"}], "files that exist"),
        ([*rows, rows[0]], "every path once"),
        ([row | {"group": "one"} for row in rows], "stand in training and test"),
    ):
        params = small_trial(Path(manifest(tmp_path / "m.csv", wrong)), tmp_path / "home")
        with pytest.raises(BadInput, match=message):
            run_trial(params)
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_the_probe_on_frozen_embeddings_is_another_detector(tried, dataset, tmp_path):
    params, network = tried
    probed = small_trial(
        dataset, tmp_path, pool=params.pool, store=f"{params.pool}.store",
        arms=("real", "filtered"), detector={"kind": "probe"},
    )  # fmt: skip
    result = run_trial(probed)
    assert result.trial_id != network.trial_id
    for arm in result.arms:
        assert arm.exposure.total == 32 * 32, "1,000 exposures, in whole batches"
        assert arm.measures["auroc"].value > 0.6
    assert covers_zero(result.arms[1].difference["auroc"])
