"""One Prefect test server for all flow tests, and one small plant they share."""

import os
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.simulate_factory import simulate_factory
from tasks.domain.parameters import FactoryParams


@pytest.fixture(scope="session", autouse=True)
def _prefect(tmp_path_factory):
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def plant(tmp_path_factory) -> Path:
    """18 sound and 12 defective parts of the demo plant."""
    folder = tmp_path_factory.mktemp("plant") / "images"
    simulate_factory(FactoryParams(out=str(folder), ok=18, ko=12))
    return folder
