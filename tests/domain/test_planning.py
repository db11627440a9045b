"""A plan depends on its inputs' values, never on their order, and never repeats an edit."""

import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import BadParameters, ShapeError
from tasks.domain.parameters import GrowParams, InpaintParams, PromptSpec
from tasks.domain.planning import default_region, plan_round, seed_for
from tasks.domain.records import SOUND, Edit, RegionStrategy

DEFAULTS = SimpleNamespace(strength=0.6, guidance_scale=4.0)
PROMPTS = (
    PromptSpec(kind="crack", prompt="a long crack", negative_prompt="blur"),
    PromptSpec(kind="porosity", prompt="many pores"),
    PromptSpec(kind="oxidation", prompt="blue tint", region=RegionStrategy.BAND),
)
SOURCES = [f"{i:02x}" for i in range(7)]


def grow_params(**changes: Any) -> GrowParams:
    return GrowParams(images="in", pool="out", prompts=PROMPTS, sound_prompt="sound", **changes)


def planned(
    shortfalls: list[int],
    attempts: list[Edit] | None = None,
    round_index: int = 0,
    sources: list[str] = SOURCES,
    **changes: Any,
) -> list[Edit]:
    return plan_round(
        sources,
        PROMPTS,
        shortfalls,
        attempts or [],
        grow_params(**changes),
        defaults=DEFAULTS,
        round_index=round_index,
    )


SHORTFALLS = st.lists(st.integers(-2, 30), min_size=3, max_size=3)


@given(SHORTFALLS, st.permutations(SOURCES), st.integers(1, 256), st.integers(0, 99))
def test_order_and_batch_size_do_not_matter(
    shortfalls: list[int], sources: list[str], batch: int, run_seed: int
) -> None:
    one = planned(shortfalls, run_seed=run_seed)
    other = planned(shortfalls, sources=sources + sources[:2], run_seed=run_seed, batch_size=batch)
    assert one == other


@given(SHORTFALLS, SHORTFALLS, st.floats(1, 3), st.floats(0, 0.9))
def test_rounds_never_repeat_overshoot_or_favour_a_source(
    first: list[int], second: list[int], oversample: float, share: float
) -> None:
    changes = {"oversample": oversample, "placebo_share": share}
    attempts: list[Edit] = []
    for round_index, shortfalls in enumerate((first, second)):
        edits = planned(shortfalls, attempts, round_index, **changes)
        defects = [e for e in edits if not e.is_placebo]
        for spec, missing in zip(PROMPTS, shortfalls, strict=True):
            count = sum(e.prompt == spec.prompt for e in defects)
            assert max(missing, 0) <= count <= math.ceil(max(missing, 0) * oversample)
        placebos = len(edits) - len(defects)
        assert abs(placebos - share * len(edits)) <= 0.5
        attempts += edits
    keys = Counter((e.source_id, e.prompt, e.variant) for e in attempts)
    assert set(keys.values()) <= {1}
    assert len({e.seed for e in attempts}) == len(attempts)
    for prompt in {e.prompt for e in attempts}:
        uses = Counter(dict.fromkeys(SOURCES, 0))
        uses.update(e.source_id for e in attempts if e.prompt == prompt)
        assert max(uses.values()) - min(uses.values()) <= 1


def test_placebos_are_sound_and_shaped_like_the_defects() -> None:
    edits = planned([10, 10, 0], placebo_share=0.2, oversample=1.0)
    placebos = [e for e in edits if e.is_placebo]
    assert len(edits) == 25
    assert {(e.kind, e.prompt) for e in placebos} == {(SOUND, grow_params().sound_prompt)}
    shapes = Counter(e.region for e in placebos)
    assert shapes == {RegionStrategy.CRACK: 3, RegionStrategy.PORES: 2}
    later = planned([10, 10, 0], edits, 1, placebo_share=0.2, oversample=1.0)
    shapes.update(e.region for e in later if e.is_placebo)
    assert shapes == {RegionStrategy.CRACK: 5, RegionStrategy.PORES: 5}


def test_edits_carry_what_was_asked() -> None:
    edits = planned([1, 0, 1], oversample=1.0, placebo_share=0.0)
    assert [(e.kind, e.negative_prompt, e.region) for e in edits] == [
        ("crack", "blur", RegionStrategy.CRACK),
        ("oxidation", "", RegionStrategy.BAND),
    ]
    assert {(e.strength, e.guidance_scale, e.steps) for e in edits} == {(0.6, 4.0, 25)}
    assert edits[0].seed == seed_for(0, edits[0].source_id, "a long crack", 0)


@pytest.mark.parametrize(("round_index", "strength"), [(0, 0.35), (1, 0.5), (2, 0.7), (5, 0.7)])
def test_the_ladder_is_climbed_by_round(round_index: int, strength: float) -> None:
    inpaint = InpaintParams(strength=0.35, strength_ladder=(0.5, 0.7))
    edits = planned([30, 0, 0], [], round_index, inpaint=inpaint)
    assert {e.strength for e in edits} == {strength}


def test_sources_are_shuffled_by_the_run_seed_and_prompt() -> None:
    orders = set()
    for run_seed in range(3):
        edits = planned([7, 7, 0], oversample=1.0, run_seed=run_seed)
        orders |= {tuple(e.source_id for e in edits[:7]), tuple(e.source_id for e in edits[7:14])}
    assert len(orders) == 6
    assert all(sorted(order) == SOURCES for order in orders)


def test_a_new_source_is_used_before_the_others_come_again() -> None:
    attempts = planned([14, 0, 0], oversample=1.0, placebo_share=0.0)
    later = planned([2, 0, 0], attempts, 1, [*SOURCES, "new"], oversample=1.0, placebo_share=0.0)
    assert [(e.source_id, e.variant) for e in later] == [("new", 0), ("new", 1)]


@given(st.integers(0, 2**63 - 1), st.text(), st.text(), st.integers(0, 9))
def test_seeds_fit_63_bits_and_parts_do_not_run_together(
    run_seed: int, source: str, prompt: str, variant: int
) -> None:
    seed = seed_for(run_seed, source, prompt, variant)
    assert 0 <= seed < 2**63
    assert seed == seed_for(run_seed, source, prompt, variant)
    others = {
        seed_for(run_seed, source + "a", prompt, variant),
        seed_for(run_seed, source, "a" + prompt, variant),
        seed_for(run_seed, source, prompt, variant + 1),
        seed_for(run_seed + 1, source, prompt, variant),
    }
    assert len(others | {seed}) == 5
    np.random.default_rng((seed, 0))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("crack", "crack"),
        ("Transverse cracks", "crack"),
        ("porosity", "pores"),
        ("spatter", "pores"),
        ("oxidation", "patch"),
        ("undercut", "toe"),
        ("lack_of_fusion", "patch"),
        ("Lack-of fusion", "patch"),
        ("something new", "patch"),
    ],
)
def test_kinds_get_the_shape_that_suits_them(kind: str, shape: str) -> None:
    assert default_region(kind) == shape


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert planned([0, 0, -3]) == []
    assert planned([5, 5, 5], sources=[]) == []


def test_bad_input_is_named() -> None:
    with pytest.raises(ShapeError, match="shortfall"):
        planned([1, 2])
    with pytest.raises(BadParameters, match="round"):
        planned([1, 1, 1], round_index=-1)
