"""A place that holds credentials is refused wherever it is named, and never repeated."""

import pytest

from tasks.domain.errors import StorageRefused
from tasks.domain.parameters import GrowParams
from tasks.domain.places import without_credentials
from tasks.domain.trial_parameters import TrialParams

SECRET = "s3://key:hidden@bucket/pool"


@pytest.mark.parametrize("place", ["pools/line3", "s3://bucket/a@b", "file:///a", "a@b", ""])
def test_places_without_credentials_are_what_they_were(place):
    assert without_credentials(place) == place


@pytest.mark.parametrize(
    "call",
    [
        lambda: without_credentials(SECRET),
        lambda: without_credentials("s3://key@bucket"),
        lambda: GrowParams(images="x", pool=SECRET, prompts=({"kind": "crack"},)),
        lambda: GrowParams(images="x", pool="p", store=SECRET, prompts=({"kind": "crack"},)),
        lambda: TrialParams(dataset="x", pool="p", report=SECRET),
    ],
)
def test_credentials_are_refused_and_not_repeated(call):
    with pytest.raises(StorageRefused, match="holds credentials") as caught:
        call()
    assert "hidden" not in str(caught.value)
