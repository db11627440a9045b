"""Splits of an export: images of one group (source, or part) never stand in two of them.

Of a group g the place is u = blake2b(g) / 2^64 in [0, 1); its split is the one in whose interval of
the cumulated shares u lies. So a group keeps its split whatever else is in the pool, and the shares
are met as n groups can meet them: a share s to sqrt(s (1 - s) / n), one standard deviation.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping

from tasks.domain.errors import BadInput, BadParameters

UNDIVIDED = "all"
TRAIN, TEST = "train", "test"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def parsed_shares(text: str) -> dict[str, float]:
    """Split names with their shares, in order, from `train=.8,val=.2`; `none` is one split `all`.

    Raises:
        BadParameters: a name or a share is none, a name repeats, or they do not add up to 1.
    """
    if text.strip() == "none":
        return {UNDIVIDED: 1.0}
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (word.strip() for word in part.partition("="))
        if not _NAME.fullmatch(name) or name in shares or not _is_share(share):
            raise BadParameters(
                f"Expected splits such as train=.8,val=.2 or none, but got {part.strip()!r} in "
                f"{text!r}; name each split once, in small letters, with a share above 0"
            )
        shares[name] = float(share)
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
        raise BadParameters(
            f"Expected shares that add up to 1, but {text!r} adds up to {sum(shares.values()):g}"
        )
    return shares


def _is_share(text: str) -> bool:
    try:
        return 0 < float(text) <= 1
    except ValueError:
        return False


def split_of(group: str, shares: Mapping[str, float]) -> str:
    """The split of a group.

    Args:
        group: the source, or the part that several sources show.
        shares: of each split, in order, adding up to 1.
    """
    place = int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest(), "big") / 2**64
    cumulated = 0.0
    for name, share in shares.items():
        cumulated += share
        if place < cumulated:
            return name
    return list(shares)[-1]


def splits_of(groups: Iterable[str], shares: Mapping[str, float]) -> dict[str, str]:
    """The split of each group.

    Raises:
        BadInput: a split stays empty.
    """
    found = {group: split_of(group, shares) for group in set(groups)}
    require_none_empty(found, shares)
    return found


def one_class_splits(
    label_and_group: Iterable[tuple[str, str]], shares: Mapping[str, float]
) -> dict[str, str]:
    """The split of each group where only sound images train: a group with a KO is tested.

    Args:
        label_and_group: of each image, OK or KO.
        shares: of `train` and `test` among the groups that are sound throughout.

    Raises:
        BadInput: no group is left to train on.
    """
    groups: dict[str, set[str]] = {}
    for label, group in label_and_group:
        groups.setdefault(group, set()).add(label)
    found = {
        group: TEST if "KO" in labels else split_of(group, shares)
        for group, labels in groups.items()
    }
    if TRAIN in shares and TRAIN not in found.values():
        raise BadInput(
            f"Expected sound images to train on, but each of the {len(groups)} sources has a "
            "defect or fell to the test; add the real sound ones (--with-sources), or write the "
            "test part alone (--splits none)"
        )
    return found


def require_none_empty(split_of_group: Mapping[str, str], shares: Mapping[str, float]) -> None:
    """Raise BadInput when a split has no group."""
    empty = [name for name in shares if name not in split_of_group.values()]
    if empty:
        raise BadInput(
            f"Expected images in each of {', '.join(shares)}, but {', '.join(empty)} stays empty: "
            f"{len(split_of_group)} sources cannot be divided so; ask for larger shares, or for "
            "--splits none"
        )


def group_named(uri: str, source_id: str, pattern: str | None) -> str:
    """The part that a source shows: the pattern's first group in its URI, else the source itself.

    Raises:
        BadParameters: the pattern is no regular expression, or has no group.
    """
    if pattern is None:
        return source_id
    try:
        found = re.search(pattern, uri)
        return (found.group(1) or source_id) if found else source_id
    except (re.error, IndexError) as exc:
        raise BadParameters(
            "Expected the pattern of groups to be a regular expression with one group, but got "
            f"{pattern!r} ({exc})"
        ) from exc
