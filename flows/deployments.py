"""What the Prefect server is told once: a work pool, the deployments, the automations."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleUpdate,
    DeploymentUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry, Cancelled

from tasks.domain.errors import PoolstarError
from tasks.domain.records import Record

WORK_POOL = "gpu"
TAG = "poolstar"
ENDED = {StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED}


class Registered(Record):
    """What the server now knows."""

    work_pool: str
    limit: int
    deployments: tuple[str, ...]
    automations: tuple[str, ...]


def definitions() -> Path:
    """The folder `deployments/`, which lies beside `flows`, in a checkout and once installed.

    It is no package: importlib.resources cannot open it in an editable installation.
    """
    return Path(__file__).resolve().parent.parent / "deployments"


def defined(file: str, section: str) -> list[dict[str, Any]]:
    """The entries of a section of one of the files in `deployments/`."""
    text = (definitions() / file).read_text(encoding="utf-8")
    return list(yaml.safe_load(text)[section])


def register_all(limit: int | None) -> Registered:
    """Create the work pool, deployments and automations, or bring them up to date.

    What was set in the UI stays: a deployment's parameters, schedules, pause, job variables and
    limit, whether an automation is on, and the pool's limit where none is given.

    Args:
        limit: runs at once in the work pool; None: as it is, one a CUDA device of this machine
            in a new pool.

    Raises:
        PoolstarError: the server refuses a definition.
    """
    with get_client(sync_client=True) as client:
        allowed = _register_work_pool(client, limit)
        with _kept(client):
            _deploy_all()
        automations = [_register_automation(client, one) for one in _automations()]
        names = tuple(f"{one.name}" for one in _own_deployments(client))
    return Registered(
        work_pool=WORK_POOL, limit=allowed, deployments=names, automations=tuple(automations)
    )


def devices() -> int:
    """CUDA devices of this machine; 1 where there is none."""
    import torch

    return max(1, torch.cuda.device_count())


def _register_work_pool(client: SyncPrefectClient, limit: int | None) -> int:
    """The pool of process workers, so many runs at once; returns how many."""
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        created = WorkPoolCreate(
            name=WORK_POOL,
            type="process",
            description="One run a device. Workers: poolstar up, or prefect worker start -p gpu",
            base_job_template=_process_template(),
            concurrency_limit=limit or devices(),
        )
        pool = client.create_work_pool(created)
    else:
        if limit is not None and limit != pool.concurrency_limit:
            client.update_work_pool(WORK_POOL, WorkPoolUpdate(concurrency_limit=limit))
            return limit
    return pool.concurrency_limit or 0


def _process_template() -> dict[str, Any]:
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def _own_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    names = {one["name"] for one in defined("prefect.yaml", "deployments")}
    found = client.read_deployments()
    return sorted(
        (one for one in found if one.name in names and TAG in one.tags), key=lambda one: one.name
    )


def _deploy_all() -> None:
    """Prefect's own `prefect deploy --all`, on the installed prefect.yaml."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all",
         "--prefect-file", str(definitions() / "prefect.yaml")],
        capture_output=True, text=True, check=False, env=_environment(),
    )  # fmt: skip
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise PoolstarError(
            "Expected the server to take the deployments, but: " + "\n".join(lines[-12:])
        )


def _environment() -> dict[str, str]:
    """This process's settings for another one."""
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    return {**os.environ, **settings, "NO_COLOR": "1"}


@contextmanager
def _kept(client: SyncPrefectClient) -> Iterator[None]:
    """Afterwards all that had been set in the UI is as it was, even if a deploy breaks off."""
    before, off = _own_deployments(client), _triggers_off(client)
    try:
        yield
    finally:
        _restore(client, before)
        for name in off:
            for one in client.read_automations_by_name(name):
                client.pause_automation(one.id)


def _triggers_off(client: SyncPrefectClient) -> list[str]:
    """The deployments' own triggers that are off; a deploy makes them anew, and on."""
    deployments = defined("prefect.yaml", "deployments")
    names = [trigger["name"] for one in deployments for trigger in one.get("triggers", ())]
    return [
        name
        for name in names
        if any(not one.enabled for one in client.read_automations_by_name(name))
    ]


def _restore(client: SyncPrefectClient, before: list[DeploymentResponse]) -> None:
    """Give deployments that were there before what had been set in the UI.

    The UI adds schedules without a slug, which the server refuses beside one that has one: such
    a schedule is named by its id.
    """
    for one in before:
        limit = one.global_concurrency_limit
        client.update_deployment(
            one.id,
            DeploymentUpdate(
                parameters=one.parameters,
                paused=one.paused,
                job_variables=one.job_variables,
                concurrency_limit=limit.limit if limit else None,
                concurrency_options=one.concurrency_options,
                schedules=[
                    DeploymentScheduleUpdate(
                        schedule=schedule.schedule, active=schedule.active,
                        parameters=schedule.parameters, slug=schedule.slug or f"ui-{schedule.id}",
                    )
                    for schedule in one.schedules
                ],
            ),
        )  # fmt: skip


def _automations() -> list[AutomationCore]:
    entries = defined("automations.yaml", "automations")
    return [AutomationCore.model_validate(one) for one in entries]


def _register_automation(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    """Create the automation, or bring the one of its name up to date; returns the name.

    One that is as it should be is left alone: an update forgets what its trigger has seen.
    """
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
    for one in found:
        mine = wanted.model_copy(update={"enabled": one.enabled})
        if _definition(one) != _definition(mine):
            client.update_automation(one.id, mine)
    return wanted.name


def _definition(automation: AutomationCore) -> dict[str, Any]:
    """What was written of an automation, without what the server adds."""
    core = automation.model_dump(include={"description", "trigger", "actions"})
    core["trigger"].pop("id", None)
    return core


def put_back(run_ids: set[str]) -> list[str]:
    """Schedule runs again whose processes were stopped before they ended; returns their names.

    One that was being cancelled is cancelled: it would else run at the next start.
    """
    names = []
    with get_client(sync_client=True) as client:
        for run_id in sorted(run_ids):
            run = client.read_flow_run(UUID(run_id))
            if run.state is None or run.state.type in ENDED:
                continue
            if run.state.type == StateType.CANCELLING:
                client.set_flow_run_state(run.id, Cancelled(message="Cancelled."), True)
                continue
            client.set_flow_run_state(
                run.id, AwaitingRetry(message="Its worker was stopped."), True
            )
            names.append(run.name)
    return names


def missing_deployments(client: SyncPrefectClient) -> list[str]:
    """What prefect.yaml names and the server does not have."""
    names = {one["name"] for one in defined("prefect.yaml", "deployments")}
    return sorted(names - {one.name for one in _own_deployments(client)})
