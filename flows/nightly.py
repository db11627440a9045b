"""nightly: grow to the mix that the last trial recommends, try the version, promote what holds."""

from prefect import flow, get_run_logger

from flows.grow_pool import grow_pool
from flows.run_trial import run_trial
from tasks.dataset import nights_growth
from tasks.deployed import check_places
from tasks.domain.trial_parameters import NightlyParams
from tasks.domain.trial_records import TrialResult


@flow(name="nightly", flow_run_name="nightly {params.trial.pool}", log_prints=False)
def nightly(params: NightlyParams) -> TrialResult:
    """Grow, try, and give the version the tag `champion` if the trial shows it not worse.

    Args:
        params: the trial, and by it the images, the pool and the mix.
    """
    check_places(params)
    growth = nights_growth(params)
    if growth is None:
        get_run_logger().info("%s holds what its mix asks for", params.trial.pool)
    else:
        grow_pool(growth)
    trial = params.trial.model_copy(update={"promote": True, "version": None})
    return run_trial(trial)
