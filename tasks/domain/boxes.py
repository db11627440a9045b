"""Boxes of defects as the text of a manifest's cell: "x y w h", several separated by ";"."""

import re
from collections.abc import Iterable

from tasks.domain.errors import BadInput

Box = tuple[int, int, int, int]

_NUMBER = re.compile(r"[0-9]{1,6}")


def parsed_boxes(text: str) -> tuple[Box, ...]:
    """The boxes (x, y, width, height) in pixels; none of a blank text.

    Raises:
        BadInput: not four whole numbers a box, or a side that is not positive.
    """
    return tuple(_box(part) for part in text.split(";")) if text.strip() else ()


def boxes_text(boxes: Iterable[Box]) -> str:
    """The text that `parsed_boxes` reads back; empty without boxes."""
    return "; ".join(" ".join(str(number) for number in box) for box in boxes)


def _box(part: str) -> Box:
    words = part.split()
    if len(words) != 4 or not all(_NUMBER.fullmatch(word) for word in words):
        raise BadInput(
            f"Expected a box as four whole numbers of pixels, x y w h, but got {part.strip()!r}"
        )
    x, y, width, height = (int(word) for word in words)
    if not width or not height:
        raise BadInput(f"Expected a box with sides of a pixel or more, but got {part.strip()!r}")
    return x, y, width, height
