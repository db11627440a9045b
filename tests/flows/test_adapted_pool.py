"""A pool grown on by a set adapted from its first one: what rows, runs and trial say."""

import json
import shutil
from pathlib import Path

import pytest
from adapted import adapted_tiny
from small_run import small_run

from flows.grow_pool import grow_pool
from tasks.domain.errors import BadInput, BadParameters, ModelSetMismatch
from tasks.domain.parameters import LoopParams
from tasks.models.model_set import open_model_set
from tasks.store.archive import Archive
from tasks.trial_run import PoolRows


@pytest.fixture(scope="module")
def begun(plant, tmp_path_factory):
    params = small_run(plant, tmp_path_factory.mktemp("begun")).model_copy(update={"max_rounds": 1})
    grow_pool(params)
    return params


def parts(plant: Path) -> list[Path]:
    return sorted((plant / "ko").rglob("*.png"))[:3]


def rows_of(pool: str) -> list[dict]:
    archive = Archive(pool)
    tables = [archive._read(name, archive.latest(), None) for name in ("pool", "rejected")]
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.slow
def test_rows_name_their_set_and_its_base_and_the_pool_knows_what_it_was_adapted_on(
    begun, plant, tmp_path
):
    models = adapted_tiny(tmp_path / "adapted", parts(plant), base_generation=1)
    pool = str(tmp_path / "pool")
    shutil.copytree(begun.pool, pool)
    grown = begun.model_copy(
        update={
            "pool": pool, "models": str(models.root), "run_seed": 7,
            "loop": LoopParams(allow_generation=1),
        }
    )  # fmt: skip
    assert grow_pool(grown).version == "v2"
    archive, tiny = Archive(pool), open_model_set("tiny")
    assert archive.verify().ok
    by_set = {name: [r for r in rows_of(pool) if r["model_set"] == name] for name in
              ("tiny", "adapted")}  # fmt: skip
    assert by_set["adapted"]
    for row in by_set["adapted"]:
        told = json.loads(row["models"])
        assert told["fingerprint"] == models.fingerprint
        assert told["adapted_from"]["fingerprint"] == tiny.fingerprint
        assert row["generation"] == 1
    assert {row["generation"] for row in by_set["tiny"]} == {0}
    ((sources, structure),) = archive.lineages()
    assert sources == models.lineage.sources
    assert (structure * models.structure()).sum(axis=1).min() > 0.999
    assert archive.lineages("v1") == []
    used = PoolRows.of(pool, None)
    assert used.later_generations == len(by_set["adapted"])
    assert used.trained_on == {one.id for one in sources}


@pytest.mark.slow
def test_a_set_with_another_embedder_is_refused_before_any_work(begun, plant, tmp_path):
    other = open_model_set("tiny").embedder.model_copy(update={"revision": "other"})
    models = adapted_tiny(tmp_path / "adapted", parts(plant), embedder=other)
    with pytest.raises(ModelSetMismatch, match="shares its embedder"):
        grow_pool(begun.model_copy(update={"models": str(models.root)}))
    assert Archive(begun.pool).versions() == ["v1"]


@pytest.mark.slow
def test_a_pool_of_later_generations_alone_is_no_pool_to_try(begun, plant, tmp_path):
    models = adapted_tiny(tmp_path / "adapted", parts(plant), trained_on_synthetic=True)
    grown = begun.model_copy(
        update={"pool": str(tmp_path / "pool"), "models": str(models.root), "run_seed": 7}
    )
    with pytest.raises(BadParameters, match="--allow-generation 1"):
        grow_pool(grown)
    assert Archive(grown.pool).versions() == []
    grown = grown.model_copy(update={"loop": LoopParams(allow_generation=1)})
    grow_pool(grown)
    assert rows_of(grown.pool)
    with pytest.raises(BadInput, match="of generation 0"):
        PoolRows.of(grown.pool, None)
