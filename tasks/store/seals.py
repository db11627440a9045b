"""Seals: digests that tell whether a row is as it was written, and which of its columns are not.

A column is of one kind k: pixels, mask, time, or metadata, which is all the rest. With c the
columns of kind k in canonical JSON (bytes and vectors by their sha256),

    d_k = sha256(c),   seal = "d_pixels d_mask d_metadata d_time",
    manifest = sha256 over the lines "id d_pixels d_mask d_metadata", sorted by id.

The time stays out of a manifest, so that a run killed and run again ends in the same one. Lists of
digests under one digest are Merkle's (CRYPTO 1987), here with one level.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

KINDS = ("pixels", "mask", "metadata", "time")
_KIND_OF = {
    "image": "pixels", "bytes": "pixels", "lineage": "pixels",
    "mask": "mask", "bead_mask": "mask", "created_at": "time",
}  # fmt: skip


def kind_of(column: str) -> str:
    """The kind of a column; one not known yet is metadata, so that none is left out."""
    return _KIND_OF.get(column, "metadata")


def seal_of(record: Mapping[str, Any]) -> str:
    """The seal of a row: the digests of its four kinds of columns; a column `seal` stays out."""
    parts: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for name, value in record.items():
        if name != "seal":
            parts[kind_of(name)][name] = _canonical(value)
    return " ".join(_sha256(json.dumps(part, sort_keys=True).encode()) for part in parts.values())


def changed_kinds(seal: str, written: str) -> tuple[str, ...]:
    """The kinds in which two seals differ; all of them where one is no seal at all."""
    now, then = seal.split(" "), written.split(" ")
    if len(now) != len(then):
        return KINDS
    return tuple(kind for kind, a, b in zip(KINDS, now, then, strict=True) if a != b)


def manifest_of(seals: Mapping[str, str]) -> str:
    """The digest of rows by id, whenever they were made."""
    return _digest_of({key: seal.rpartition(" ")[0] for key, seal in seals.items()})


def times_of(seals: Mapping[str, str]) -> str:
    """The digest of the rows' times alone."""
    return _digest_of({key: seal.rpartition(" ")[2] for key, seal in seals.items()})


def chained(seals: Collection[str]) -> str:
    """The digest of seals, in any order: what a row keeps of those that stood before it."""
    return _sha256("\n".join(sorted(seals)).encode())


def _digest_of(texts: Mapping[str, str]) -> str:
    return _sha256("".join(sorted(f"{key} {text}\n" for key, text in texts.items())).encode())


def _canonical(value: Any) -> Any:
    """A JSON value that is equal exactly when the column is."""
    if isinstance(value, bytes):
        return _sha256(value)
    if isinstance(value, np.ndarray):
        return _sha256(np.ascontiguousarray(value, dtype=np.float32).tobytes())
    if isinstance(value, np.generic):
        return _canonical(value.item())
    if isinstance(value, float):
        return repr(value)
    return value


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
