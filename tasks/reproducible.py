"""Reproducible rows: what to paint, and how it was computed, read from a record that may be wrong.

`Painting` stands in the row's own columns and its source's bytes, `Making` in its column `models`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tasks.domain.errors import BadInput
from tasks.domain.records import Making, Painting
from tasks.sources import image_pixels
from tasks.store.files import ContentStore
from tasks.store.images import decoded_mask, decoded_png


@dataclass(frozen=True)
class Reproducible:
    """A row that can be painted again; `told` is its provenance as it stands there."""

    row: dict[str, Any]
    told: dict[str, Any]
    painting: Painting
    making: Making


def reproducible(row: dict[str, Any], source: bytes | None, store: ContentStore) -> Reproducible:
    """A row read as what to paint and how; its source and region go to the store.

    Raises:
        BadInput: something in the record is missing, damaged, or does not fit together.
    """
    if source is None:
        raise BadInput(f"the archive does not hold its source {row['source_id'][:12]}")
    if hashlib.sha256(source).hexdigest() != row["source_id"]:
        raise BadInput("its source's bytes are not those that their id names")
    try:
        told = json.loads(row["models"])
        making = Making.model_validate({name: told.get(name) for name in Making.model_fields})
        painting = Painting.model_validate(
            {name: row.get(name) for name in Painting.model_fields}
            | {"image": store.put(source), "region": store.put(row["mask"])}
        )
        mask = decoded_mask(row["mask"])
        decoded_png(row["image"])
    except ValidationError as exc:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()]
        raise BadInput("; ".join(wrong)) from exc
    except (ValueError, TypeError, AttributeError, OSError) as exc:
        raise BadInput(str(exc)) from exc
    _require_fit(painting, mask.shape, image_pixels(store, painting.image).shape[:2])
    return Reproducible(row, told, painting, making)


def _require_fit(painting: Painting, mask_hw: tuple[int, ...], source_hw: tuple[int, ...]) -> None:
    """Raises BadInput unless mask and window fit the source."""
    x, y, width, height = painting.window_xywh
    is_inside = min(x, y) >= 0 and x + width <= source_hw[1] and y + height <= source_hw[0]
    if mask_hw != source_hw or not is_inside or not 0 < width == height:
        raise BadInput(
            f"mask of {mask_hw} and window {painting.window_xywh} do not fit its source of "
            f"{source_hw}"
        )


def alike(cases: Sequence[Reproducible]) -> list[list[Reproducible]]:
    """Cases by model set and by how they were computed, so that a group is painted in one way."""
    groups: dict[tuple[Any, ...], list[Reproducible]] = {}
    for case in cases:
        made = case.making
        key = (case.told.get("fingerprint"), case.row["run_id"], made.device, made.device_batch,
               made.threads, made.feather_px)  # fmt: skip
        groups.setdefault(key, []).append(case)
    return list(groups.values())
