"""What Prefect's server says of the stages of the latest run of a flow."""

import time

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.sorting import FlowRunSort

STAGES = frozenset(
    {
        "ingest", "segment", "describe", "plan", "inpaint", "measure", "judge", "frame",
        "structure", "view", "subset", "perturb", "train", "score", "price", "evaluate",
    }
)  # fmt: skip


def stage_states(flow_name: str, expected: int) -> dict[str, str]:
    """State of each stage's task run by its name; the server learns of them a little later."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])),
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )[0]
        only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        while True:
            runs = [
                one
                for page in range(5)
                for one in client.read_task_runs(flow_run_filter=only, limit=200, offset=200 * page)
            ]
            states = {
                f"{one.name} {one.id}": str(one.state_name)
                for one in runs
                if one.name.split()[0] in STAGES
            }
            done = len(states) >= expected and not {"Running", "Pending"} & set(states.values())
            if done or time.monotonic() > deadline:
                return states
            time.sleep(0.5)
