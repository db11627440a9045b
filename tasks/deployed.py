"""Deployed: what a run must heed that a worker started and not a person in a folder."""

from prefect.runtime import deployment
from pydantic import BaseModel

from tasks.domain.deployed_paths import require_settled_paths


def check_places(params: BaseModel) -> None:
    """Refuse relative paths in a run of a deployment; elsewhere they are a person's own.

    Raises:
        BadParameters: the run is deployed and a path in its parameters is relative.
    """
    if deployment.id:
        require_settled_paths(params)
