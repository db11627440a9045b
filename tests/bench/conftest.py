"""Measured figures go to bench.json, one object a name."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

Record = Callable[..., None]


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    """record(name, value=..., unit=..., ...) prints a figure and keeps it."""
    path = Path("bench.json")
    figures = {one["name"]: one for one in json.loads(path.read_text())} if path.exists() else {}

    def keep(name: str, **figure: object) -> None:
        figures[name] = {"name": name, **figure}
        print(figures[name])
        path.write_text(json.dumps(list(figures.values()), indent=1) + "\n")

    return keep


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server."""
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    with prefect_test_harness(server_startup_timeout=120):
        yield
