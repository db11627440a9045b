"""Lineage: what a model set was adapted from and on, real or generated.

By it its images can be told from a test, and a loop (generate, train, generate) is seen.
"""

from typing import Any

from tasks.domain.records import Label, Record

UNKNOWN = 1  # a maker of whom nothing is known may have learned from generated images


def guarded_generation(generation: int | None) -> int:
    """The generation of a pool's image as the guard against the loop counts it."""
    return UNKNOWN if generation is None else generation


class AdaptationSource(Record):
    """An image that a model set was trained on; id is the sha256 of its bytes.

    `generation` is None for a real image, else that of the pool's image it was recognised as.
    """

    id: str
    name: str
    uri: str
    label: Label
    kind: str
    generation: int | None = None


class Lineage(Record):
    """Where an adapted model set comes from.

    `parameters` and `figures` are those of the adaptation; `base_files` the sha256 of the base's
    files by path; `base_generation` is the generation of the images that the base makes.
    """

    base: str
    base_version: str
    base_fingerprint: str
    base_files: dict[str, str]
    sources: tuple[AdaptationSource, ...]
    parameters: dict[str, Any]
    figures: dict[str, Any]
    base_generation: int = 0

    @property
    def generation(self) -> int:
        """Generation of this set's images: one above the highest that it or its base learned from.

        0 where all of that was real.
        """
        learned = [one.generation + 1 for one in self.sources if one.generation is not None]
        return max([self.base_generation, *learned])
