"""Parts held out: of every kind some judge and some are learned from, whatever the plant."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.domain.errors import BadInput
from tasks.domain.holdout import held_out_groups
from tasks.domain.records import SOUND

KINDS = ("sound", "crack", "pores", "toe")
SEED, SHARE = st.integers(0, 10_000), st.floats(0.01, 0.5)
OWN_GROUPS = st.dictionaries(st.sampled_from(KINDS), st.integers(2, 30), min_size=1)
SHARED_GROUPS = st.dictionaries(
    st.sampled_from(KINDS), st.sets(st.integers(0, 8), min_size=2), min_size=1
)


def images(groups_of, each: int = 1) -> list[tuple[str, str]]:
    """(kind, group) of some images a group."""
    return [(kind, f"g{g}") for kind, own in groups_of.items() for g in own for _ in range(each)]


def own_groups(counts: dict[str, int]) -> list[tuple[str, str]]:
    """Images of kinds that share no group."""
    return images({kind: [f"{kind}{i}" for i in range(n)] for kind, n in counts.items()})


def is_divisible(groups_of) -> bool:
    """Whether any choice of groups leaves every kind one on both sides."""
    every = sorted(set().union(*groups_of.values()))
    choices = ({g for i, g in enumerate(every) if bits >> i & 1} for bits in range(2 ** len(every)))
    return any(all(own & held and own - held for own in groups_of.values()) for held in choices)


@given(OWN_GROUPS, SHARE, SEED)
def test_of_every_kind_about_the_share_is_held_out_and_some_are_left(counts, share, seed):
    held = held_out_groups(own_groups(counts), share, seed)
    for kind, count in counts.items():
        judges = sum(group.startswith(f"g{kind}") for group in held)
        assert 1 <= judges <= count - 1
        least = min(4, count // 2) if kind == SOUND else 2
        assert judges <= max(least, 2, share * count + 0.5)
        assert judges >= min(least, count - 1) or count < 5
        assert judges >= share * count - 0.5 or judges == count - 1


@given(SHARED_GROUPS, SHARE, SEED)
def test_a_group_of_several_kinds_is_held_out_for_all_of_them(groups_of, share, seed):
    try:
        held = held_out_groups(images(groups_of), share, seed)
    except BadInput as exc:
        (kind,) = (k for k in groups_of if f"of kind {k} both" in str(exc))
        others = set().union(*(own for k, own in groups_of.items() if k != kind))
        assert groups_of[kind] & others
        return
    assert held <= {group for _, group in images(groups_of)}
    for own in groups_of.values():
        assert held & {f"g{g}" for g in own}
        assert {f"g{g}" for g in own} - held


@given(SHARED_GROUPS, SEED)
def test_it_gives_up_on_two_kinds_only_where_no_choice_would_do(groups_of, seed):
    groups_of = dict(list(groups_of.items())[:2])
    assume(is_divisible(groups_of))
    assert held_out_groups(images(groups_of), 0.2, seed)


@given(OWN_GROUPS, SEED, st.randoms(), st.integers(1, 4))
def test_neither_order_nor_images_a_group_matter(counts, seed, random, each):
    once = own_groups(counts)
    shuffled = once * each
    random.shuffle(shuffled)
    assert held_out_groups(shuffled, 0.2, seed) == held_out_groups(once, 0.2, seed)


def test_a_part_that_shows_two_kinds_costs_neither_its_last_part():
    plant = images({"sound": range(1, 7), "crack": (1, 2), "pores": (2, 3)})
    for seed in range(100):
        held = held_out_groups(plant, 0.2, seed)
        assert len(held & {"g1", "g2"}) == len(held & {"g2", "g3"}) == 1


def test_another_seed_holds_out_other_groups():
    plant = own_groups({"sound": 20, "crack": 5})
    assert len({held_out_groups(plant, 0.2, seed) for seed in range(20)}) > 10


@given(OWN_GROUPS, SEED)
def test_kinds_of_one_part_are_named_together(counts, seed):
    plant = [*own_groups(counts), ("burr", "b"), ("burr", "b"), ("dent", "d")]
    with pytest.raises(BadInput, match="but burr, dent has one"):
        held_out_groups(plant, 0.2, seed)
