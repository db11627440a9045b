"""Reproduce: images are painted again from their records alone, by stage `inpaint`'s own code.

A row and its source's bytes say all: what to paint (`Painting`), how it was computed (`Making`) and
by which weights. What is not here as it was then is named.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tasks.domain.errors import BadInput, ModelSetError
from tasks.domain.reproduction import Reproduction, deviation_of, named_differences
from tasks.domain.rounds import batches
from tasks.inpaint import making_of, painted
from tasks.models.loading import inpainter
from tasks.models.model_set import ModelSet, open_model_set
from tasks.reproducible import Reproducible, alike, reproducible
from tasks.store.files import ContentStore
from tasks.store.images import decoded_mask, decoded_png
from tasks.store.recorded import Recorded

AT_ONCE = 32
NAMES = {
    "fingerprint": "model set", "weights": "weights", "libraries": "version of",
    "algorithm": "version of stage inpaint", "device": "device", "dtype": "dtype",
    "hardware": "hardware", "threads": "CPU threads", "device_batch": "device batch",
}  # fmt: skip


def named_ids(pool: str, version: str | None, texts: Sequence[str]) -> list[str]:
    """The ids of the images that texts name, each once: all of an id, or 8 digits or more.

    Raises:
        BadInput: a text names several.
        UnknownVersion: it names none; or there is no such version.
    """
    recorded = Recorded(pool)
    at = recorded.version(version)
    return list(dict.fromkeys(recorded.image_id(text, at) for text in texts))


def sampled_ids(pool: str, version: str | None, count: int | None, *, rejected: bool) -> list[str]:
    """Ids to reproduce: all of a version, or `count` of them, drawn anew each time.

    Raises:
        BadInput: there are fewer, or none at all.
        UnknownVersion: there is no such version.
    """
    recorded = Recorded(pool)
    at = recorded.version(version)
    ids = list(dict.fromkeys(recorded.ids(at, rejected=rejected)))
    if not ids:
        more = "" if rejected else "; --rejected takes the refused ones too"
        raise BadInput(f"Expected images in {pool} {at}, but it holds none{more}")
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
    run_params = recorded.params_by_run(at)
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
            cases.append(reproducible(row, sources.get(row["source_id"]), store))
        except BadInput as exc:
            found[row["id"]] = _outcome(row, "different", note=f"its record cannot be used: {exc}")
    for group in alike(cases):
        place, chosen = _model_set(group[0], run_params, models)
        found |= {one.id: one for one in _painted_again(group, place, chosen, store)}
    return found


def _outcome(row: dict[str, Any], state: str, **more: Any) -> Reproduction:
    told = {name: row[name] for name in ("id", "table", "kind", "changed")}
    return Reproduction(**told, state=state, **more)


def _foreign(row: dict[str, Any]) -> Reproduction:
    """An image made elsewhere: its row is checked, it cannot be painted again."""
    note = (
        f"made elsewhere, by {row['maker']}: the record holds no seed, no model and no settings "
        "that could paint it again; its row was compared with its seal"
    )
    return _outcome(row, "foreign", note=note)


def _model_set(
    case: Reproducible, run_params: Mapping[str, str], models: str | None
) -> tuple[str, ModelSet]:
    """The set to paint with, and the name or folder it was opened by.

    Raises:
        ModelSetError: none was named, and what the record names is not here or another one.
    """
    if models is not None:
        return models, open_model_set(models)
    wanted = str(case.told.get("fingerprint"))
    problems = []
    for place in dict.fromkeys([case.row["model_set"], _named_by(case.row["run_id"], run_params)]):
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


def _named_by(run_id: str, run_params: Mapping[str, str]) -> str:
    """The model set that a run's parameters name; empty where they cannot be read."""
    try:
        return str(json.loads(run_params[run_id])["models"])
    except (KeyError, TypeError, ValueError):
        return ""


def _painted_again(
    cases: Sequence[Reproducible], place: str, models: ModelSet, store: ContentStore
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
