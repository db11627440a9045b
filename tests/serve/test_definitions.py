"""What stands in deployments/: flows that load by module, and automations that Prefect accepts."""

import pytest
from prefect import Flow
from prefect.events.schemas.automations import AutomationCore
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from flows.deployments import TAG, WORK_POOL, defined

DEPLOYMENTS = {one["name"]: one for one in defined("prefect.yaml", "deployments")}
AUTOMATIONS = {one["name"]: one for one in defined("automations.yaml", "automations")}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_entrypoint_names_a_flow_of_an_installed_module(name):
    deployment = DEPLOYMENTS[name]
    assert ":" not in deployment["entrypoint"], "a path would import the file under a second name"
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    assert isinstance(flow, Flow)
    assert flow.name == name
    assert TAG in deployment["tags"]
    assert deployment["work_pool"]["name"] == WORK_POOL


def test_nothing_is_pulled_and_no_night_starts_by_itself():
    assert defined("prefect.yaml", "pull") == []
    (schedule,) = DEPLOYMENTS["nightly"]["schedules"]
    assert schedule["timezone"]
    assert schedule["active"] is False


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_field_of_a_form_has_its_place_and_tells_what_it_is(name):
    flow = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"], use_placeholder_flow=False)
    schema = parameter_schema(flow).model_dump()
    forms = [one for one in schema["definitions"].values() if "properties" in one]
    assert forms
    for form in forms:
        fields = form["properties"].values()
        positions = [one["position"] for one in fields]
        assert len(set(positions)) == len(positions)
        assert all("description" in one or "$ref" in one for one in fields), form["title"]


def test_a_lost_run_is_given_several_heartbeats_time():
    for one in AUTOMATIONS.values():
        AutomationCore.model_validate(one)
    patience_s = AUTOMATIONS["poolstar-lost-run"]["trigger"]["within"]
    for deployment in DEPLOYMENTS.values():
        beat_s = int(deployment["work_pool"]["job_variables"]["env"][
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
        ])  # fmt: skip
        assert patience_s >= 5 * beat_s
