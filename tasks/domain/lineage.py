"""Lineage: what a model set was adapted from and on, so that its images can be told from a test."""

from typing import Any

from tasks.domain.records import Label, Record


class AdaptationSource(Record):
    """A real image that a model set was trained on; id is the sha256 of its bytes."""

    id: str
    name: str
    uri: str
    label: Label
    kind: str


class Lineage(Record):
    """Where an adapted model set comes from.

    `parameters` and `figures` are those of the adaptation; `base_files` the sha256 of the base's
    files by path. `used_synthetic` says whether the base or any source was itself generated.
    """

    base: str
    base_version: str
    base_fingerprint: str
    base_files: dict[str, str]
    sources: tuple[AdaptationSource, ...]
    parameters: dict[str, Any]
    figures: dict[str, Any]
    used_synthetic: bool
