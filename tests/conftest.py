"""One object store for all tests that need one; started by the first."""

import pytest


@pytest.fixture(scope="session")
def object_store():
    from object_store import ObjectStore

    store = ObjectStore()
    yield store
    store.close()


@pytest.fixture
def s3(object_store, monkeypatch):
    """The store, this process's environment set to reach it."""
    from object_store import set_environment
    from s3fs import S3FileSystem

    set_environment(monkeypatch, object_store)
    S3FileSystem.clear_instance_cache()
    return object_store


@pytest.fixture
def bucket(s3, request) -> str:
    """A bucket of the test's own."""
    return s3.bucket(f"t{abs(hash(request.node.nodeid)):x}")
