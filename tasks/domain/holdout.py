"""Holding out: which parts (groups) of a plant judge an adaptation that never saw them.

Of each kind, sound included, a share of the groups, two at least (one where there are fewer than
five) and one at least left, in the order of a seeded hash of the group's name; a group held out for
one kind is held out for all. Of the sound parts four at least where there are eight: what tells
real zones from edited ones is judged in folds of parts.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from tasks.domain.errors import BadInput
from tasks.domain.records import SOUND

MIN_GROUPS, GROUPS_FOR_TWO, SOUND_JUDGES = 2, 5, 4


def held_out_groups(
    kind_and_group: Iterable[tuple[str, str]], share: float, seed: int
) -> frozenset[str]:
    """The groups that judge.

    Args:
        kind_and_group: of each image.
        share: of each kind's groups, in (0, 0.5].
        seed: another seed, other groups.

    Raises:
        BadInput: a kind has images of one part only, or all its parts are held out for others.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for kind, group in kind_and_group:
        groups[kind].add(group)
    _require_two(groups)
    held: set[str] = set()
    for kind in sorted(groups, key=lambda name: (len(groups[name]), name)):
        least = 2 if len(groups[kind]) >= GROUPS_FOR_TWO else 1
        if kind == SOUND:
            least = max(least, min(SOUND_JUDGES, len(groups[kind]) // 2))
        wanted = max(least, math.floor(share * len(groups[kind]) + 0.5))
        for group in sorted(groups[kind] - held, key=lambda name: _rank(name, seed)):
            if len(groups[kind] & held) >= wanted:
                break
            if not any(own <= held | {group} for own in groups.values()):
                held.add(group)  # no kind loses its last part to learn from
    for kind, own in groups.items():
        if own <= held or not own & held:
            raise BadInput(
                f"Expected parts of kind {kind} both to learn from and to judge by, but its "
                f"{len(own)} parts are shared with other kinds; name groups that differ"
            )
    return frozenset(held)


def _require_two(groups: Mapping[str, set[str]]) -> None:
    """Raise BadInput for kinds of one part, all named at once."""
    single = sorted(kind for kind, own in groups.items() if len(own) < MIN_GROUPS)
    if single:
        raise BadInput(
            f"Expected images of {MIN_GROUPS} parts (groups) or more of each kind, one to learn "
            f"from and one to judge by, but {', '.join(single)} has one; give more images, or "
            "leave the kind out by naming the others with --kind"
        )


def _rank(group: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {group}".encode()).digest()
