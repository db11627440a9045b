"""A lineage as the pool keeps it: the images a model set was trained on, and their fine structure.

Fine structure x has length 1, so q = round(127 x / max |x|) in int8 says it all: x ~ q / |q|.
"""

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ShapeError
from tasks.domain.leakage import SIDE_PX
from tasks.domain.lineage import AdaptationSource
from tasks.domain.records import Record

PEAK = 127
FORGOTTEN = "forgotten"


class KeptLineage(Record):
    """The JSON text of a lineage; `structure` is int8, row by row, in base64."""

    sources: tuple[AdaptationSource, ...]
    structure: str


def encoded_lineage(sources: Sequence[AdaptationSource], structure: NDArray[np.float32]) -> str:
    """Text for column `lineage` of table `runs`.

    Args:
        sources: the images that a set was trained on.
        structure: (n, SIDE_PX^2) their fine structure, rows of length 1, or 0 where uniform.

    Raises:
        ShapeError: there is not one row a source.
    """
    expected = (len(sources), SIDE_PX**2)
    if structure.shape != expected:
        raise ShapeError(f"Expected fine structure of shape {expected}, but got {structure.shape}")
    peak = np.abs(structure).max(axis=1, keepdims=True, initial=0)
    whole = np.rint(structure * (PEAK / np.where(peak > 0, peak, 1))).astype(np.int8)
    text = base64.b64encode(whole.tobytes()).decode()
    return KeptLineage(sources=tuple(sources), structure=text).model_dump_json()


def decoded_lineage(text: str) -> tuple[tuple[AdaptationSource, ...], NDArray[np.float32]]:
    """The sources, and (n, SIDE_PX^2) their fine structure, of length 1 or 0.

    Raises:
        ValueError: the text is damaged.
    """
    kept = KeptLineage.model_validate_json(text)
    whole = np.frombuffer(base64.b64decode(kept.structure, validate=True), dtype=np.int8)
    rows = whole.reshape(len(kept.sources), SIDE_PX**2).astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return kept.sources, np.asarray(rows / np.where(length > 0, length, 1), dtype=np.float32)


def without_source(text: str, source_id: str) -> str:
    """The lineage without what one source looked like and was called; its id stays, to be refused.

    Raises:
        ValueError: the text is damaged.
    """
    kept = KeptLineage.model_validate_json(text)
    raw = np.frombuffer(base64.b64decode(kept.structure, validate=True), dtype=np.int8)
    rows = raw.reshape(len(kept.sources), SIDE_PX**2).copy()
    rows[[one.id == source_id for one in kept.sources]] = 0
    blank = {"name": FORGOTTEN, "uri": FORGOTTEN}
    sources = tuple(
        one.model_copy(update=blank) if one.id == source_id else one for one in kept.sources
    )
    text = base64.b64encode(rows.tobytes()).decode()
    return KeptLineage(sources=sources, structure=text).model_dump_json()


def knows_source(text: str, source_id: str) -> bool:
    """Whether a lineage, or an empty text, still tells what a source looked like.

    Raises:
        ValueError: the text is damaged.
    """
    sources = KeptLineage.model_validate_json(text).sources if text else ()
    return any(one.id == source_id and one.uri != FORGOTTEN for one in sources)
