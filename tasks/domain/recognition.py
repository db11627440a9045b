"""Recognising a pool's own images among those a generator is to learn from.

An image is recognised when its pixels are those of a pool's image, or when its fine structure
(see `leakage`) correlates above a threshold with a pool's image, and more than with any real image
of that pool: an edit is a near-duplicate of its source, so the nearer of the two decides.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.domain.leakage import nearest_similarity
from tasks.domain.records import Record


class Recognised(Record):
    """An image that is a pool's own: which one, of what generation, edited from which source."""

    source_id: str
    pool: str
    row_id: str
    row_source_id: str
    generation: int


class Nearest:
    """The most alike of the images seen so far, to each of some images."""

    def __init__(self, structure: NDArray[np.float32]) -> None:
        self._structure = structure
        self.similarity = np.full(len(structure), -1.0, dtype=np.float32)
        self.names: list[str | None] = [None] * len(structure)

    def see(self, names: list[str], structure: NDArray[np.float32]) -> None:
        """Compare with more images: (n, d) fine structure and a name each."""
        found, place = nearest_similarity(self._structure, structure)
        for row in np.flatnonzero(found > self.similarity):
            self.similarity[row] = found[row]
            self.names[row] = names[int(place[row])]

    def nearer_than(self, other: "Nearest", least: float) -> dict[int, str]:
        """The name of the nearest by row, where it is above `least` and nearer than the other's."""
        return {
            row: name
            for row, name in enumerate(self.names)
            if name is not None
            and self.similarity[row] > least
            and self.similarity[row] > other.similarity[row]
        }
