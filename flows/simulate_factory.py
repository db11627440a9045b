"""simulate_factory: a folder of weld images from the embedded plant, sound and defective."""

from prefect import flow, unmapped

from tasks.domain.parameters import FactoryParams
from tasks.domain.rounds import batches
from tasks.render import list_parts, render_batch


@flow(name="simulate-factory", flow_run_name="factory {params.out}")
def simulate_factory(params: FactoryParams) -> int:
    """Render a plant's images into `ok/`, `ko/<kind>/` and `masks/<kind>/`; returns how many.

    Args:
        params: how many of which, from which plant, where to.
    """
    parts = batches(list_parts(params), params.batch_size)
    rendered = render_batch.map(parts, params=unmapped(params)).result()
    return sum(rendered)
