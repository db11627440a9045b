"""Reproduce: images are painted again from their records alone, by stage `inpaint`'s own code.

A row and its source's bytes say all: what to paint (`Painting`), how it was computed (`Making`) and
by which weights. What is not here as it was then is named.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import ValidationError

from tasks.domain.errors import BadInput, ModelSetError
from tasks.domain.records import Making, Painting
from tasks.domain.reproduction import Reproduction, deviation_of, named_differences
from tasks.domain.rounds import batches
from tasks.inpaint import making_of, painted
from tasks.models.loading import inpainter
from tasks.models.model_set import ModelSet, open_model_set
from tasks.sources import image_pixels
from tasks.store.files import ContentStore
from tasks.store.images import decoded_mask, decoded_png
from tasks.store.recorded import Recorded, is_as_landed

AT_ONCE = 32
NAMES = {
    "fingerprint": "model set", "weights": "weights", "libraries": "version of",
    "algorithm": "version of stage inpaint", "device": "device", "dtype": "dtype",
    "hardware": "hardware", "threads": "CPU threads", "device_batch": "device batch",
}  # fmt: skip


@dataclass(frozen=True)
class _Case:
    """A row that can be painted again: what to paint, and how it was computed."""

    row: dict[str, Any]
    told: dict[str, Any]
    painting: Painting
    making: Making


def sampled_ids(pool: str, version: str | None, count: int | None, *, rejected: bool) -> list[str]:
    """Ids to reproduce: all of a version, or `count` of them, drawn anew each time.

    Raises:
        BadInput: there are fewer.
        UnknownVersion: there is no such version.
    """
    recorded = Recorded(pool)
    ids = list(dict.fromkeys(recorded.ids(recorded.version(version), rejected=rejected)))
    if count is None:
        return ids
    if count > len(ids):
        raise BadInput(
            f"Expected a sample of at most {len(ids)} images, but got {count}; use --all"
        )
    return [ids[i] for i in np.random.default_rng().permutation(len(ids))[:count]]


def reproduce(
    pool: str, version: str | None, ids: Sequence[str], models: str | None = None
) -> Iterator[Reproduction]:
    """What comes of each image when it is painted again, in order, a batch at a time.

    Args:
        models: the model set to paint with; default: the one that the record names.

    Raises:
        UnknownVersion: no such version or image.
        ModelSetError: the set that the record names is not here, or is another one by now.
    """
    recorded = Recorded(pool)
    at = recorded.version(version)
    run_params = recorded.run_params(at)
    for part in batches(ids, AT_ONCE):
        rows = recorded.rows(at, part)
        sources = recorded.source_bytes(at, [row["source_id"] for row in rows])
        with TemporaryDirectory(prefix="poolstar-") as folder:
            found = _batch(rows, sources, run_params, models, ContentStore(folder))
        yield from (found[row["id"]] for row in rows)


def _batch(
    rows: Sequence[dict[str, Any]],
    sources: Mapping[str, bytes],
    run_params: Mapping[str, str],
    models: str | None,
    store: ContentStore,
) -> dict[str, Reproduction]:
    """What comes of a few rows, by id."""
    found: dict[str, Reproduction] = {}
    cases = []
    for row in rows:
        if row["maker"] is not None:
            found[row["id"]] = _foreign(row)
            continue
        try:
            cases.append(_case(row, sources.get(row["source_id"]), store))
        except BadInput as exc:
            found[row["id"]] = _outcome(row, "different", note=f"its record cannot be used: {exc}")
    for group in _alike(cases):
        place, chosen = _model_set(group[0], run_params, models)
        found |= {one.id: one for one in _painted_again(group, place, chosen, store)}
    return found


def _outcome(row: dict[str, Any], state: str, **more: Any) -> Reproduction:
    return Reproduction(
        id=row["id"], table=row["table"], kind=row["kind"], state=state,
        is_as_landed=is_as_landed(row), **more,
    )  # fmt: skip


def _foreign(row: dict[str, Any]) -> Reproduction:
    """An image made elsewhere: its bytes are checked, it cannot be painted again."""
    note = (
        f"made elsewhere, by {row['maker']}: the record holds no seed, no model and no settings "
        "that could paint it again; its bytes and mask were compared with the row's digest"
    )
    return _outcome(row, "foreign", note=note)


def _case(row: dict[str, Any], source: bytes | None, store: ContentStore) -> _Case:
    """A row read as what to paint and how.

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
    return _Case(row, told, painting, making)


def _require_fit(painting: Painting, mask_hw: tuple[int, ...], source_hw: tuple[int, ...]) -> None:
    """Raises BadInput unless mask and window fit the source."""
    x, y, width, height = painting.window_xywh
    is_inside = min(x, y) >= 0 and x + width <= source_hw[1] and y + height <= source_hw[0]
    if mask_hw != source_hw or not is_inside or not 0 < width == height:
        raise BadInput(
            f"mask of {mask_hw} and window {painting.window_xywh} do not fit its source of "
            f"{source_hw}"
        )


def _alike(cases: Sequence[_Case]) -> list[list[_Case]]:
    """Cases by model set and by how they were computed, so that a group is painted in one way."""
    groups: dict[tuple[Any, ...], list[_Case]] = {}
    for case in cases:
        made = case.making
        key = (case.told.get("fingerprint"), case.row["run_id"], made.device, made.device_batch,
               made.threads, made.feather_px)  # fmt: skip
        groups.setdefault(key, []).append(case)
    return list(groups.values())


def _model_set(
    case: _Case, run_params: Mapping[str, str], models: str | None
) -> tuple[str, ModelSet]:
    """The set to paint with, and the name or folder it was opened by.

    Raises:
        ModelSetError: none was named, and what the record names is not here or another one.
    """
    if models is not None:
        return models, open_model_set(models)
    wanted = str(case.told.get("fingerprint"))
    params = json.loads(run_params.get(case.row["run_id"], "{}"))
    problems = []
    for place in dict.fromkeys([case.row["model_set"], params.get("models", "")]):
        try:
            found = open_model_set(place)
        except ModelSetError as exc:
            problems.append(str(exc))
            continue
        if found.fingerprint == wanted:
            return place, found
        problems.append(f"{place} has fingerprint {found.fingerprint[:12]} here")
    raise ModelSetError(
        f"Expected the model set {case.row['model_set']} with fingerprint {wanted[:12]}, which "
        f"painted {case.row['id']}, but: {'; '.join(problems)}. Name its folder by --models; "
        "another set can be named too, then what differs is reported"
    )


def _painted_again(
    cases: Sequence[_Case], place: str, models: ModelSet, store: ContentStore
) -> Iterator[Reproduction]:
    """Each case painted as it was then, and compared."""
    then = cases[0].making
    device = "cpu" if then.device == "cpu" else "auto"
    with (
        inpainter(place, models.fingerprint, device) as model,
        model.computing_as(device_batch=then.device_batch, threads=then.threads),
    ):
        images = painted([case.painting for case in cases], model, store, then.feather_px)
        here = models.provenance(making_of(model, then.feather_px))
    for case, again in zip(cases, images, strict=True):
        archived, region = decoded_png(case.row["image"]), decoded_mask(case.row["mask"])
        deviation = deviation_of(archived, again, region)
        yield _outcome(
            case.row,
            "equal" if deviation is None else "different",
            deviation=deviation,
            differences=named_differences(case.told, here, NAMES),
        )
