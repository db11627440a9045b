"""What a person sees in the Prefect UI: the form, the run, the gallery, in headless Chromium."""

import pytest
from browser import chromium
from prefect_stack import await_true, require_debian

from tasks.domain.parameters import GrowParams
from tasks.gallery import GAP_PX, PANEL_PX

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    require_debian(browser=True)
    with chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


def page(runs, path: str) -> str:
    """The address of a page of the UI."""
    return f"{runs.server.url.removesuffix('/api')}/v2/{path}"


def test_the_form_shows_each_parameter_with_its_description_in_order(runs, browser):
    deployment = runs.deployment("grow-pool")["id"]
    address = page(runs, f"deployments/deployment/{deployment}/run")
    fields = GrowParams.model_json_schema()["properties"]
    ordered = sorted(fields.values(), key=lambda one: one["position"])
    assert ordered[0]["title"] == "Images"
    described = [one["description"] for one in ordered if "description" in one]
    shown = browser.open(address, *described)
    places = [shown.index(text) for text in described]
    assert places == sorted(places)
    assert shown.index(described[0]) > shown.index("Images")
    browser.click("Add item")
    browser.await_text("What the inpainter is asked for", "Accepted images wanted of this prompt")


def test_the_run_page_shows_its_state_and_stages(runs, grown, browser):
    address = page(runs, f"runs/flow-run/{grown['id']}")
    shown = browser.open(address, grown["name"], "Completed", "Deployment grow-pool")
    assert grown["name"] in shown
    stages = browser.open(f"{address}?tab=TaskRuns", "inpaint crack", "land")
    assert "inpaint crack" in stages


def test_the_gallery_shows_its_pictures(runs, grown, browser):
    gallery = runs.artifacts(grown["id"])["pool-gallery"]
    rows = gallery["data"].count("data:image/jpeg")
    assert rows > 0
    browser.open(page(runs, f"artifacts/artifact/{gallery['id']}"), "POOL★ v1", "S_i", "verified")
    width = 3 * PANEL_PX + 2 * GAP_PX
    await_true("the pictures", lambda: browser.loaded_pictures() == [width] * rows, 120)
