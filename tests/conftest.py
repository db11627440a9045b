"""One object store a process of tests, started by the first that needs it; and which tests run in
one process: those of a file, and all that share the one Prefect server."""

import pytest

SHARE_A_SERVER = "serve"
LONGEST_FIRST = (SHARE_A_SERVER, "flows")  # so that no process is left with them at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups for `pytest -n N --dist loadgroup`."""
    for item in items:
        group = _folder(item) if _folder(item) == SHARE_A_SERVER else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (*LONGEST_FIRST, _folder(item)).index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.parent.name


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
