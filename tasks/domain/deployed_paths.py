"""Paths in a deployed run: a worker's working folder is nobody's, so they must be absolute."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.domain.errors import BadParameters

PLACES = frozenset({"images", "candidates", "dataset", "pool", "store", "report", "mask", "models"})
MODEL_SETS = frozenset({"tiny", "sd15"})


def relative_paths(params: BaseModel) -> list[tuple[str, str]]:
    """Each path that is neither absolute nor a URI, with the name of its field; `a.b` nests."""
    return list(_relative(params.model_dump(mode="json")))


def _relative(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _relative(value, f"{within}{name}.")
        elif name in PLACES and isinstance(value, str) and not _is_settled(name, value):
            yield within + name, value


def _is_settled(name: str, value: str) -> bool:
    """Whether the value means the same in every folder."""
    is_name = name == "models" and value in MODEL_SETS
    return is_name or "://" in value or Path(value).is_absolute()


def require_settled_paths(params: BaseModel) -> None:
    """Raises BadParameters where a path would be looked up in a worker's temporary folder."""
    if found := relative_paths(params):
        named = ", ".join(f"{name} {value!r}" for name, value in found)
        raise BadParameters(
            f"Expected absolute paths or URIs (/data/line3, s3://...) in a deployed run, but got "
            f"{named}; a worker runs in a temporary folder of its own"
        )
