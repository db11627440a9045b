"""grow_on_new_images: a folder that has just arrived, named by an event, grows a pool."""

from prefect import flow

from flows.grow_pool import grow_pool
from tasks.domain.errors import BadParameters
from tasks.domain.parameters import GrowParams, Growth
from tasks.grown import GrowResult


@flow(name="grow-on-new-images", flow_run_name="grow from {folder}", log_prints=False)
def grow_on_new_images(folder: str, growth: Growth | None = None) -> GrowResult:
    """Grow a pool from one folder of new images.

    Args:
        folder: the folder of real images that the event names.
        growth: which pool grows by which defects; set it once, in the deployment's parameters.

    Raises:
        BadParameters: it has not been set.
    """
    if growth is None:
        raise BadParameters(
            "Expected the deployment to know which pool grows by which defects, but its parameter "
            "`growth` is not set; in the UI edit the deployment grow-on-new-images"
        )
    return grow_pool(GrowParams(images=folder, **dict(growth)))
