"""A run is the same wherever its files lie, and another one when what it inspects is another."""

from tasks.domain.parameters import GrowParams, PromptSpec, SegmentParams
from tasks.domain.records import Ref
from tasks.domain.rounds import run_identity


def identity(path: str | None = None, content: str | None = None, **changes) -> str:
    surface = {} if path is None else {"surface": "mask", "mask": path}
    params = GrowParams(
        images="in", pool="out", prompts=(PromptSpec(kind="crack", prompt="a crack"),),
        segment=SegmentParams.model_validate(surface), **changes,
    )  # fmt: skip
    ref = None if content is None else Ref(sha256=content * 64, uri=f"store/{content}")
    return run_identity(params, [], "f" * 32, ref)


def test_a_given_surface_counts_by_its_content_and_not_by_its_place():
    assert identity("a/mask.png", "1") == identity("b/mask.png", "1")
    assert identity("a/mask.png", "1") != identity("a/mask.png", "2")
    assert identity("a/mask.png", "1") != identity()


def test_the_words_count():
    assert identity(sound_prompt="a sound weld") != identity(sound_prompt="a sound casting")
