"""Parameters that contradict each other are refused, and what is not settled yet says so."""

import pytest
from pydantic import ValidationError

from tasks.domain.errors import BadParameters
from tasks.domain.parameters import GrowParams, PromptSpec, SegmentParams


@pytest.mark.parametrize(
    "fields",
    [{"surface": "mask"}, {"mask": "m.png"}, {"surface": "whole", "mask": "m.png"}],
)
def test_a_mask_comes_exactly_with_its_surface(fields):
    with pytest.raises(ValidationError, match="a mask exactly with the surface `mask`"):
        SegmentParams.model_validate(fields)
    assert SegmentParams(surface="mask", mask="m.png").mask == "m.png"


def test_a_prompt_is_words_or_left_to_the_model_set():
    for text in ("", "  "):
        with pytest.raises(ValidationError):
            PromptSpec(kind="crack", prompt=text)
    open_one = PromptSpec(kind="crack")
    with pytest.raises(BadParameters, match="prompt for the kind crack"):
        _ = open_one.words
    with pytest.raises(BadParameters, match="placebos"):
        _ = GrowParams(images="x", pool="p", prompts=(open_one,)).sound_words
