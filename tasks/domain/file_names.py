"""File names made from ids and kinds: none can leave its folder, none can be another's.

A name that is plain already stays; any other is cut to what is plain and given the first digits of
its sha256, so that two kinds that look alike keep two folders.
"""

import hashlib
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
)
_DIGITS = 8


def file_stem(row_id: str) -> str:
    """The name of an image's file without its suffix: the id itself where that is plain.

    Plain is: a-z, 0-9, _ and -, 64 at most, no name that Windows keeps for itself.
    """
    if _is_plain(row_id):
        return row_id
    return hashlib.sha256(row_id.encode()).hexdigest()[:32]


def folder_names(kinds: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A folder for each kind, no two the same and none of `taken`; equal kinds, equal names.

    Args:
        kinds: as people named them: blanks, slashes, any script.
        taken: names that stand for something else, e.g. `good`.
    """
    reserved, names = set(taken), {}
    for kind in sorted(set(kinds)):
        if _is_plain(kind) and kind not in reserved:
            names[kind] = kind
    used = reserved | set(names.values())
    for kind in sorted(set(kinds) - set(names)):
        digest, digits = hashlib.sha256(kind.encode()).hexdigest(), _DIGITS
        readable = re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")[:32] or "kind"
        while (name := f"{readable}-{digest[:digits]}") in used:
            digits += 1
        names[kind] = name
        used.add(name)
    return names


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and name not in _RESERVED
