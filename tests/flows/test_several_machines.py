"""The same flow on Dask and Ray: same pool, GPU tasks where GPUs are, and a killed worker."""

import os
import signal
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import run
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, temporary_settings
from small_run import small_run

from flows.grow_pool import grow_pool
from tasks.domain.energy import RunEnergy
from tasks.domain.errors import BadParameters, PoolstarError, TransientError
from tasks.domain.parameters import GrowParams, RunnerParams, SegmentParams
from tasks.runners import require_server, require_shared, running_on, task_runner
from tasks.store.archive import Archive
from tasks.store.costs import Asked
from tasks.store.files import ContentStore

CLUSTERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not find_spec(f"prefect_{name}"), reason=f"no {name} here")
    )
    for name in ("dask", "ray")
]


def computed(store: Path) -> list[Asked]:
    """The results that processes have computed so far."""
    notes = [Asked.model_validate_json(one.read_bytes()) for one in store.glob("runs/*/*.json")]
    return [note for note in notes if note.cost is not None]


def kill_a_worker(store: Path, killed: list[int]) -> None:
    """Kill the process of the first result that is not this one's, once some have been computed."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not killed:
        workers = {note.cost.process for note in computed(store)} - {os.getpid()}
        if len(workers) > 1 and any(note.stage == "segment_batch" for note in computed(store)):
            killed.append(min(workers))
            os.kill(killed[0], signal.SIGKILL)
        time.sleep(0.05)


def shorter_run(plant: Path, home: Path, **changes) -> GrowParams:
    """One round of small batches, beads found with a quarter of SAM's prompts."""
    segment = SegmentParams(points_per_side=8)
    params = small_run(plant, home, batch_size=4, segment=segment, **changes)
    return params.model_copy(update={"max_rounds": 1})


@pytest.fixture(scope="module")
def by_threads(plant, tmp_path_factory) -> str:
    """The manifest of the pool as one process grows it."""
    home = tmp_path_factory.mktemp("threads")
    return grow_pool(shorter_run(plant, home)).manifest


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLUSTERS)
def test_two_processes_grow_the_same_pool_though_one_is_killed(kind, by_threads, plant, tmp_path):
    params = shorter_run(plant, tmp_path, workers=2, runner=RunnerParams(kind=kind))
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "pool.store", killed))
    killer.start()
    result = grow_pool(params)
    killer.join()
    assert len(killed) == 1
    assert result.manifest == by_threads
    assert Archive(params.pool).verify().ok
    workers = {note.cost.process for note in computed(tmp_path / "pool.store")} - {os.getpid()}
    assert len(workers - set(killed)) >= 2  # a new one took its place
    (row,) = Archive(params.pool)._runs("v1")
    energy = RunEnergy.model_validate_json(row["energy"])
    stages = {one.stage: one for one in energy.stages}
    assert {"ingest_batch", "segment_batch", "inpaint_batch", "measure_batch"} <= set(stages)
    assert 0 < sum(one.joules for one in energy.stages) <= energy.joules
    assert sum(one.seconds for one in energy.stages) <= energy.seconds


@task
def place_of_gpu_work() -> str:
    return where()


place_of_gpu_work.needs_gpu = True


@task
def place_of_other_work() -> str:
    return where()


def where() -> str:
    """What Ray has lent a task, or the name of the Dask worker that runs it."""
    try:
        from distributed import get_worker

        return str(get_worker().name)
    except (ImportError, ValueError):
        import ray

        return str(len(ray.get_gpu_ids()))


@flow
def places(runner: RunnerParams) -> tuple[set[str], set[str]]:
    with running_on(runner, 2):
        gpu = [place_of_gpu_work.submit() for _ in range(4)]
        other = [place_of_other_work.submit() for _ in range(4)]
        return {one.result() for one in gpu}, {one.result() for one in other}


@pytest.mark.slow
def test_dask_works_on_gpu_tasks_where_the_gpu_is():
    distributed = pytest.importorskip("distributed")
    workers = {
        name: {"cls": distributed.Worker, "options": {"nthreads": 1, "resources": resources}}
        for name, resources in (("with-gpu", {"GPU": 1}), ("without", {}))
    }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"dashboard": False, "host": "127.0.0.1"},
    }
    with distributed.SpecCluster(workers=workers, scheduler=scheduler) as cluster:
        runner = RunnerParams(kind="dask", address=cluster.scheduler_address, gpus=1)
        gpu, _ = places(runner)
        assert gpu == {"with-gpu"}


@pytest.mark.slow
def test_ray_lends_gpus_to_gpu_tasks_alone():
    ray = pytest.importorskip("ray")
    path = str(Path(__file__).parents[1])  # of the modules that this one imports
    ray.init(
        num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )  # fmt: skip
    try:
        assert places(RunnerParams(kind="ray", gpus=1)) == ({"1"}, {"0"})
        assert places(RunnerParams(kind="ray")) == ({"0"}, {"0"})
    finally:
        ray.shutdown()


def test_a_cluster_elsewhere_wants_places_that_all_machines_reach(plant, tmp_path):
    there = RunnerParams(kind="dask", address="tcp://10.0.0.1:8786")
    require_shared(there, store="s3://bucket/store", images="/mnt/images", models=None)
    require_shared(RunnerParams(kind="dask"), store="here")
    with pytest.raises(BadParameters, match=r"store by an absolute path.*tcp://10.0.0.1:8786"):
        require_shared(there, store="pool.store")
    good = small_run(plant, tmp_path)
    with pytest.raises(BadParameters, match="images by an absolute path"):
        grow_pool.fn(good.model_copy(update={"runner": there, "images": "images"}))


def test_a_cluster_elsewhere_wants_a_server_and_has_to_answer():
    there = RunnerParams(kind="dask", address="tcp://127.0.0.1:9")
    require_server(there)  # the tests' own
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(BadParameters, match="set PREFECT_API_URL, here and there"),
    ):
        require_server(there)
    require_server(RunnerParams(kind="dask"))


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_said_plainly():
    dask = pytest.importorskip("dask")
    dask.config.set({"distributed.comm.timeouts.connect": "2s"})
    with pytest.raises(TransientError, match=r"cluster at tcp://127.0.0.1:9, but: .*start it"):
        places(RunnerParams(kind="dask", address="tcp://127.0.0.1:9"))


def test_a_machine_that_does_not_share_the_store_says_so(tmp_path):
    here, there = ContentStore(str(tmp_path / "here")), ContentStore(str(tmp_path / "there"))
    here.require_identity(here.identity)
    with pytest.raises(PoolstarError, match=r"there is none; all machines must share it"):
        there.require_identity(here.identity)
    assert not (tmp_path / "there").exists()
    assert there.identity != here.identity
    with pytest.raises(PoolstarError, match="there is another"):
        there.require_identity(here.identity)


def test_a_runner_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setattr("tasks.runners.importlib.util.find_spec", lambda _: None)
    with pytest.raises(BadParameters, match=r"pip install 'poolstar\[ray\]'"):
        task_runner(RunnerParams(kind="ray"), 2)


def test_where_a_run_is_worked_on_is_part_of_no_identity(plant, tmp_path):
    from tasks.domain.rounds import run_identity

    one = small_run(plant, tmp_path)
    other = GrowParams.model_validate(
        one.model_dump() | {"runner": {"kind": "ray", "gpus": 0.5}, "workers": 7}
    )
    assert run_identity(one, [], "f") == run_identity(other, [], "f")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cluster", "tcp://host:1"], "the runner is threads"),
        (["--gpus", "1"], "the runner is threads"),
        (["--runner", "spark"], "not one of"),
        (["--runner", "dask", "--cluster", "tcp://host:1"], "images by an absolute path"),
    ],
)
def test_mistakes_about_runners_are_said_in_one_line(monkeypatch, capsys, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for command in (
        ["grow", "images", "--kind", "crack"],
        ["judge", "candidates", "--reference", "images"],
    ):
        status, _, err = run(monkeypatch, capsys, *command, "--pool", "p", *words)
        assert status == 2
        assert said in err
        assert "Traceback" not in err
