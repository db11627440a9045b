"""Runs of the deployments, started and watched through the REST API as the UI does."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
from prefect_stack import Stack, await_true

from tasks.factory.captions import PROMPTS
from tasks.store.archive import Archive

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Deployed:
    """The server, a plant's images, and a folder for pools."""

    server: Stack
    plant: Path
    home: Path

    def growth(self, pool: str, **changes) -> dict:
        """One prompt, one round, the whole image as surface: seconds of work, in small batches.

        Without a store of its own a run shares one, and with it the cache of the others.
        """
        return {
            "pool": str(self.home / pool),
            "prompts": [{"kind": "crack", "prompt": PROMPTS["crack"], "target": 2}],
            "store": str(self.home / "store"),
            "report": str(self.home / f"{pool}.html"),
            "max_rounds": 1,
            "batch_size": 4,
            "device": "cpu",
            "segment": {"surface": "whole"},
            **changes,
        }

    def grow(self, pool: str, **changes) -> dict:
        """The parameters of `grow-pool`, as its form fills them in."""
        return {"params": {"images": str(self.plant), **self.growth(pool, **changes)}}

    def deployment(self, name: str) -> dict:
        """A deployment, by the name of its flow, which is its own."""
        return self.server.get(f"/deployments/name/{name}/{name}")

    def start(self, name: str, parameters: dict) -> str:
        """Start a run now; its id."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return self.server.post(path, parameters=parameters)["id"]

    def run(self, run_id: str) -> dict:
        """The run as it stands."""
        return self.server.get(f"/flow_runs/{run_id}")

    def ended(self, run_id: str, seconds: float = 400) -> dict:
        """The run, once it has ended."""
        return await_true(
            f"the end of {run_id}",
            lambda: (run := self.run(run_id))["state_type"] in ENDED and run,
            seconds,
        )

    def runs_of(self, name: str) -> list[dict]:
        """The runs of a deployment."""
        wanted = {"id": {"any_": [self.deployment(name)["id"]]}}
        return self.server.post("/flow_runs/filter", deployments=wanted)

    def stages(self, run_id: str) -> Counter:
        """How many task runs of the flow run are in which state, by stage and state."""
        only = {"id": {"any_": [run_id]}}
        found = self.server.post("/task_runs/filter", flow_runs=only, limit=200)
        return Counter((one["name"].split()[0], one["state_name"]) for one in found)

    def manifest(self, pool: str) -> str:
        """The manifest of the pool's latest version, which verifies."""
        verification = Archive(str(self.home / pool)).verify()
        assert verification.ok
        return verification.manifest

    def artifacts(self, run_id: str) -> dict[str, dict]:
        """The artifacts of a flow run, by key."""
        only = {"flow_run_id": {"any_": [run_id]}}
        found = self.server.post("/artifacts/filter", artifacts=only)
        return {one["key"]: one for one in found}


def processes_of(run_id: str) -> list[psutil.Process]:
    """The processes that work on a flow run, known by their environment."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get("PREFECT__FLOW_RUN_ID") == run_id:
                found.append(one)
        except psutil.Error:
            continue
    return found
