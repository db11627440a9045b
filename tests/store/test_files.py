"""The store tells what is missing from what cannot be read."""

import pytest

from tasks.domain.errors import PoolstarError
from tasks.store.files import ContentStore


def test_what_cannot_be_read_is_not_called_missing(tmp_path):
    store = ContentStore(str(tmp_path))
    ref = store.put(b"kept")
    path = tmp_path / ref.sha256[:2] / ref.sha256[2:]
    path.unlink()
    with pytest.raises(PoolstarError, match="it is missing; delete that folder"):
        store.get(ref)
    path.mkdir()
    with pytest.raises(PoolstarError, match="Is a directory; mend that") as caught:
        store.get(ref)
    assert "delete" not in str(caught.value)
