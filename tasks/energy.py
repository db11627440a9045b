"""Energy: when a run begins, and what it has used by the time it lands."""

import time

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from tasks.domain.energy import RunEnergy, run_energy
from tasks.domain.parameters import RunParams
from tasks.domain.records import Record, RunContext
from tasks.grown import Settled
from tasks.meter import meter_for, whereabouts
from tasks.models.device import resolve_device
from tasks.store.costs import asked_by, kept_cost


class Began(Record):
    """A run's beginning: its flow run, the time, and what clock and counters said."""

    flow_run: str
    time_s: float
    meter_s: float
    joules: dict[str, float]


def begin_run(params: RunParams) -> Began:
    """Note time and counters at the beginning of the flow that calls this."""
    seconds, joules = meter_for(resolve_device(params.device)).totals()
    flow = FlowRunContext.get()
    run = "" if flow is None or flow.flow_run is None else str(flow.flow_run.id)
    return Began(flow_run=run, time_s=time.time(), meter_s=seconds, joules=joules)


@task(task_run_name="energy", cache_policy=NO_CACHE)
def tally_energy(
    params: RunParams, context: RunContext, began: Began, settled: Settled
) -> RunEnergy:
    """What the run has used so far: its stages' shares, and what its reused results once cost."""
    now_s, now = meter_for(resolve_device(context.device)).totals()
    asked = asked_by(context.store_uri, began.flow_run)
    return run_energy(
        [one.cost for one in asked if one.cost is not None],
        [(one.stage, kept_cost(context.store_uri, one.key)) for one in asked if one.cost is None],
        seconds=now_s - began.meter_s,
        joules={name: now[name] - began.joules[name] for name in now},
        watts=params.energy.watts,
        accepted=sum(one.verdict.accepted for one in settled.judgement.judged),
        order=[one.stage for one in asked],
        machine=str(whereabouts()["machine"]),
    )
