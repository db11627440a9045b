"""The edits of a round: which source gets which prompt, with which seed.

A prompt gets ceil(shortfall * oversample) edits, spread so that no source gets two more than
another; placebos are n p / (1 - p) beside n defects, p their share of all. seed =
blake2b(run seed, source, prompt, variant) / 2 in [0, 2^63): no loop order, batch or clock enters.
Source: article 3.2 and design 3.
"""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from tasks.domain.errors import BadParameters, ShapeError
from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.domain.records import SOUND, Edit, RegionStrategy

# Written with underscores; a kind matches by the first stem that it contains.
_REGION_OF_STEM = {
    "crack": RegionStrategy.CRACK,
    "poros": RegionStrategy.PORES,
    "pore": RegionStrategy.PORES,
    "spatter": RegionStrategy.PORES,
    "oxid": RegionStrategy.PATCH,
    "undercut": RegionStrategy.TOE,
    "lack_of_fusion": RegionStrategy.PATCH,
}
_ROUNDING = 1e-9


class EditDefaults(Protocol):
    """What a model set works best with, where the user names nothing."""

    @property
    def strength(self) -> float:
        """Share of the diffusion run again, in (0, 1]."""

    @property
    def guidance_scale(self) -> float:
        """Weight of the prompt, >= 1."""


def seed_for(run_seed: int, source_id: str, prompt: str, variant: int) -> int:
    """The seed of one edit, in [0, 2^63); equal arguments give equal seeds on every machine."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (str(run_seed), source_id, prompt, str(variant)):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return int.from_bytes(digest.digest(), "big") >> 1


def default_region(kind: str) -> RegionStrategy:
    """The shape of region that suits a kind of defect; a patch for kinds it does not know."""
    name = "_".join(kind.lower().replace("-", " ").replace("_", " ").split())
    matches = (shape for stem, shape in _REGION_OF_STEM.items() if stem in name)
    return next(matches, RegionStrategy.PATCH)


def plan_round(
    source_ids: Iterable[str],
    prompts: Sequence[PromptSpec],
    shortfalls: Sequence[int],
    attempts: Iterable[Edit],
    params: GrowParams,
    *,
    defaults: EditDefaults,
    round_index: int,
) -> list[Edit]:
    """The edits of one round: by prompt in the order given, then the placebos.

    Args:
        source_ids: sources with a bead, in any order.
        prompts: the defects to grow.
        shortfalls: accepted images still missing, one a prompt; 0 or less asks for nothing.
        attempts: every edit of the rounds before; none of its (source, prompt, variant) returns.
        params: oversample, placebos, strengths, run seed.
        defaults: the model set's own strength and guidance.
        round_index: 0 for the first round; picks the strength from the ladder, whose last entry
            serves all later rounds.

    Returns:
        Empty when nothing is missing or there is no source.

    Raises:
        BadParameters: round_index is negative, or a prompt is not settled.
        ShapeError: prompts and shortfalls differ in number.
    """
    if len(prompts) != len(shortfalls):
        raise ShapeError(
            f"Expected a shortfall for each of {len(prompts)} prompts, but got {len(shortfalls)}"
        )
    if round_index < 0:
        raise BadParameters(f"Expected a round of 0 or more, but got {round_index}")
    earlier, sources = list(attempts), sorted(set(source_ids))
    open_prompts = [
        (spec, _edit_count(missing, params.oversample))
        for spec, missing in zip(prompts, shortfalls, strict=True)
        if missing > 0 and sources
    ]
    ledger = _Ledger(sources, earlier, params, defaults, round_index)
    edits = [
        ledger.next_edit(spec.kind, spec.words, spec.negative_prompt, _region_of(spec))
        for spec, count in open_prompts
        for _ in range(count)
    ]
    shapes = [_region_of(spec) for spec, _ in open_prompts]
    done = sum(edit.is_placebo for edit in earlier)
    placebos = [
        ledger.next_edit(SOUND, params.sound_words, "", shapes[(done + i) % len(shapes)])
        for i in range(_placebo_count(len(edits), params.placebo_share))
    ]
    return edits + placebos


class _Ledger:
    """Variants used so far, and for each prompt whose turn it is."""

    def __init__(
        self,
        sources: Sequence[str],
        earlier: Sequence[Edit],
        params: GrowParams,
        defaults: EditDefaults,
        round_index: int,
    ) -> None:
        self._sources, self._params = sources, params
        self._next_variant: Counter[tuple[str, str]] = Counter()
        for edit in earlier:
            key = edit.source_id, edit.prompt
            self._next_variant[key] = max(self._next_variant[key], edit.variant + 1)
        self._turns: dict[str, list[tuple[int, int, str]]] = {}
        self._strength = _strength(params, defaults, round_index)
        guidance = params.inpaint.guidance_scale
        self._guidance = defaults.guidance_scale if guidance is None else guidance

    def next_edit(self, kind: str, prompt: str, negative: str, region: RegionStrategy) -> Edit:
        """The prompt's next edit, on the source it has used least."""
        source_id, variant = self._take_turn(prompt)
        return Edit(
            source_id=source_id,
            kind=kind,
            prompt=prompt,
            negative_prompt=negative,
            region=region,
            variant=variant,
            seed=seed_for(self._params.run_seed, source_id, prompt, variant),
            strength=self._strength,
            guidance_scale=self._guidance,
            steps=self._params.inpaint.steps,
            is_placebo=kind == SOUND,
        )

    def _take_turn(self, prompt: str) -> tuple[str, int]:
        """Least used source first; among equals, the order that the run seed gives the prompt."""
        if prompt not in self._turns:
            turns = [
                (self._next_variant[s, prompt], seed_for(self._params.run_seed, s, prompt, -1), s)
                for s in self._sources
            ]
            heapq.heapify(turns)
            self._turns[prompt] = turns
        variant, rank, source_id = self._turns[prompt][0]
        heapq.heapreplace(self._turns[prompt], (variant + 1, rank, source_id))
        return source_id, variant


def _edit_count(missing: int, oversample: float) -> int:
    """ceil(missing * oversample); 10 * 1.1 is 11 although floating point says a little more."""
    return math.ceil(missing * oversample - _ROUNDING)


def _placebo_count(edits: int, share: float) -> int:
    """Placebos beside that many edits, so that they are the share of all, to the nearest."""
    return math.floor(edits * share / (1 - share) + 0.5)


def _region_of(spec: PromptSpec) -> RegionStrategy:
    return default_region(spec.kind) if spec.region is None else spec.region


def _strength(params: GrowParams, defaults: EditDefaults, round_index: int) -> float:
    """The first strength in round 0, then up the ladder, whose last entry holds."""
    ladder = params.inpaint.strength_ladder
    if round_index > 0 and ladder:
        return ladder[min(round_index, len(ladder)) - 1]
    strength = params.inpaint.strength
    return defaults.strength if strength is None else strength
