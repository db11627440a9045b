"""Which paths of a deployed run mean the same in every folder."""

import pytest

from tasks.domain.deployed_paths import relative_paths, require_settled_paths
from tasks.domain.errors import BadParameters
from tasks.domain.parameters import GrowParams, PromptSpec, SegmentParams
from tasks.domain.trial_parameters import NightlyParams, TrialParams

PROMPTS = (PromptSpec(kind="crack"),)


def test_absolute_paths_uris_and_the_bundled_set_are_settled():
    params = GrowParams(
        images="/data/line3", pool="s3://pools/line3", prompts=PROMPTS, store="/var/store"
    )
    assert relative_paths(params) == []
    require_settled_paths(params)


@pytest.mark.parametrize(
    ("field", "value"),
    [("images", "line3"), ("pool", "./pools/line3"), ("images", "~/line3"),
     ("store", "../store"), ("report", "report.html"), ("models", "models/line3")],
)  # fmt: skip
def test_each_relative_path_is_named(field, value):
    good = GrowParams(images="/data/line3", pool="/data/pool", prompts=PROMPTS)
    params = good.model_copy(update={field: value})
    assert relative_paths(params) == [(field, value)]
    with pytest.raises(BadParameters, match=f"absolute.*{field} '{value}'"):
        require_settled_paths(params)


def test_paths_are_found_inside_nested_parameters():
    surface = SegmentParams(surface="mask", mask="mask.png")
    trial = TrialParams(dataset="set.csv", pool="/data/pool", segment=surface)
    assert relative_paths(NightlyParams(trial=trial)) == [
        ("trial.dataset", "set.csv"),
        ("trial.segment.mask", "mask.png"),
    ]
