"""Reproduction: is an image what its record makes, bit for bit, and if not, how far off and why?

PSNR = 20 log10(peak / sqrt(mean_M (x'' - x')^2)) over the pixels of the region M, where alone an
edit may write; peak is the largest value of the image's type.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.images import Pixels
from tasks.domain.records import Record

BoolMask = NDArray[np.bool_]
SHOWN = 12


class Deviation(Record):
    """How far an image painted again is from the one archived.

    psnr_db is None when they are of other shapes or types; largest is in the image's own units;
    outside_px counts pixels that differ outside the region, where none may.
    """

    psnr_db: float | None
    largest: int
    differing_px: int
    outside_px: int


class Reproduction(Record):
    """What came of one image: `equal`, `different`, or `foreign` (it cannot be painted again).

    `differences` name what is not as it was when the image was made; they may be there and the
    image equal all the same. `changed` are the kinds of the row's columns that its seal denies.
    """

    id: str
    table: str
    kind: str
    state: str
    changed: tuple[str, ...] = ()
    deviation: Deviation | None = None
    differences: tuple[str, ...] = ()
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the image: painted again equal, or foreign and whole."""
        return not self.changed and self.state != "different"


def deviation_of(archived: Pixels, again: Pixels, region: BoolMask) -> Deviation | None:
    """How far two images are apart; None when they are equal bit for bit.

    Args:
        archived, again: (H, W) or (H, W, 3), uint8 or uint16.
        region: (H, W), True where the edit may have written.
    """
    if archived.shape != again.shape or archived.dtype != again.dtype:
        pixels = int(np.prod(archived.shape[:2]))
        largest = int(np.iinfo(archived.dtype).max)
        return Deviation(psnr_db=None, largest=largest, differing_px=pixels, outside_px=0)
    change = np.abs(archived.astype(np.float64) - again)
    if not change.any():
        return None
    differs = change.any(axis=2) if change.ndim == 3 else change > 0
    inside = change[region] if region.any() else change
    mean_square = float((inside**2).mean())
    peak = float(np.iinfo(archived.dtype).max)
    return Deviation(
        psnr_db=float(10 * np.log10(peak**2 / mean_square)) if mean_square > 0 else None,
        largest=int(change.max()),
        differing_px=int(differs.sum()),
        outside_px=int((differs & ~region).sum()),
    )


def named_differences(
    recorded: Mapping[str, Any], here: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[str, ...]:
    """What differs between two provenances, a short text each, the first dozen by name.

    Args:
        recorded, here: nested mappings of plain values.
        names: how a top-level key is called in the text; keys without a name are left out.
    """
    then, now = dict(_flat(recorded, names)), dict(_flat(here, names))
    found = [
        f"{name}: {_short(then.get(name))} in the record, {_short(now.get(name))} here"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    cut = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return tuple(found[:SHOWN] + cut)


def _flat(told: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Every named value, those of a nested mapping each by its own key."""
    for key, name in names.items():
        value = told.get(key)
        if isinstance(value, Mapping):
            yield from ((f"{name} {inner}", one) for inner, one in value.items())
        elif key in told:
            yield name, value


def _short(value: Any) -> str:
    """A value as a person reads it; hashes cut to what tells them apart."""
    text = "nothing" if value is None else str(value)
    return text[:12] if len(text) >= 32 and " " not in text else text
