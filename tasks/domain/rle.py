"""Run lengths of a mask as COCO writes them: exact, holes and all.

Runs of 0 and 1 in turn, column by column, the first of 0. Compressed: each run, from the fourth on
less the run two before it, as base-32 digits, low ones first, +48 each, +32 where more follow
(cocoapi, maskApi.c, rleToString).
"""

import itertools

import numpy as np

from tasks.domain.luminance import BoolMask

_MORE, _SIGN, _DIGIT, _FIRST = 0x20, 0x10, 0x1F, 48


def run_lengths(mask: BoolMask) -> list[int]:
    """The runs of an (H, W) mask, adding up to H W; [0] when it has no pixel."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def compressed(runs: list[int]) -> str:
    """Runs as COCO's short text."""
    earlier = itertools.chain([0, 0, 0], runs[1:])
    return "".join(_digits(run - less) for run, less in zip(runs, earlier, strict=False))


def coco_rle(mask: BoolMask) -> dict[str, object]:
    """A mask as COCO's `segmentation`: `size` (H, W) and `counts`."""
    return {"size": list(mask.shape), "counts": compressed(run_lengths(mask))}


def box_xywh(mask: BoolMask) -> tuple[int, int, int, int]:
    """The smallest box around a mask's pixels, in whole pixels; zeros when it has none."""
    if not mask.any():
        return 0, 0, 0, 0
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(cols[0]), int(rows[0])
    return x, y, int(cols[-1]) - x + 1, int(rows[-1]) - y + 1


def _digits(value: int) -> str:
    """One whole number, negative ones in two's complement."""
    text, is_more = "", True
    while is_more:
        digit, value = value & _DIGIT, value >> 5
        is_more = value != (-1 if digit & _SIGN else 0)
        text += chr((digit | (_MORE if is_more else 0)) + _FIRST)
    return text
