"""One object store for all tests of the store."""

import pytest
from object_store import ObjectStore, set_environment


@pytest.fixture(scope="session")
def _server():
    store = ObjectStore()
    yield store
    store.close()


@pytest.fixture
def s3(_server, monkeypatch) -> ObjectStore:
    """The store, this process's environment set to reach it."""
    set_environment(monkeypatch, _server)
    return _server


@pytest.fixture
def bucket(s3, request) -> str:
    """A bucket of the test's own."""
    return s3.bucket(f"t{abs(hash(request.node.nodeid)):x}")
