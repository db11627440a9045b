"""A place that holds credentials is refused wherever it is named, and never repeated."""

import pytest
from pydantic import ValidationError

from tasks.domain.errors import BadParameters, StorageRefused
from tasks.domain.parameters import GrowParams
from tasks.domain.places import without_credentials, writable
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


@pytest.mark.parametrize("place", ["pools/line3", "/data/a~b", "s3://bucket/a@b", "./~x"])
def test_a_folder_written_out_and_an_s3_uri_can_be_written(place):
    assert writable(place) == place


@pytest.mark.parametrize("place", ["~/pool", "~ada/pool", "file:///data/pool", "gs://bucket/pool"])
@pytest.mark.parametrize("name", ["pool", "store", "report"])
def test_what_files_and_tables_would_read_differently_is_refused(place, name):
    with pytest.raises(BadParameters, match="written out"):
        writable(place)
    with pytest.raises(ValidationError, match=f"(?s){name}.*written out"):
        GrowParams.model_validate(
            {"images": "x", "pool": "p", "prompts": ({"kind": "crack"},), name: place}
        )
