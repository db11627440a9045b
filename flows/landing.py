"""Landing: what a run has judged becomes a version, is watched, and is told of."""

from collections.abc import Callable

from prefect import get_run_logger

from tasks.domain.parameters import RunParams
from tasks.domain.records import RunContext
from tasks.energy import Began, tally_energy
from tasks.grown import GrowResult, Settled
from tasks.land import land_run
from tasks.prepare import RunStart
from tasks.report import publish_run
from tasks.watch import watch_run


def land_and_publish(
    params: RunParams,
    context: RunContext,
    began: Began,
    judge: Callable[[], tuple[RunStart, Settled]],
) -> tuple[GrowResult, Settled]:
    """Land on the pool's last version, and publish; judged anew where another run was faster.

    Args:
        judge: judges all candidates against the pool's last version, which it names.
    """
    while True:
        start, settled = judge()
        energy = tally_energy(params, context, began, settled)
        landed = land_run(params, context, start, settled, energy)
        if landed is not None:
            break
        get_run_logger().info("another run has landed in %s meanwhile: judged anew", params.pool)
    watched = watch_run(params, context, landed, settled)
    result = publish_run(params, context, landed, settled, energy, watched, began.time_s)
    return result, settled
