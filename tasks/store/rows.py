"""The rows of POOL★'s tables, and their Arrow schemas."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class PoolRow:
    """One accepted image; `image`, `mask`, `bead_mask` are PNG bytes, the mask is the region M.

    An image made elsewhere names its `maker` and, as `maker_file`, the sha256 of the file that came
    in; how it was painted is null, and so is its generation where the maker's lineage is unknown.
    `model_set` measured it.
    """

    id: str
    source_id: str
    kind: str
    prompt: str
    negative_prompt: str | None = None
    region: str
    seed: int | None = None
    strength: float | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    effective_steps: int | None = None
    image: bytes
    mask: bytes
    bead_mask: bytes
    window_xywh: Sequence[int]
    embedding: NDArray[np.float32]
    embedding_image: NDArray[np.float32]
    s_i: float
    realism: float
    utility: float
    d_plaus: float
    gates: str
    merged_ids: Sequence[str]
    is_placebo: bool
    model_set: str
    models: str
    maker: str | None = None
    maker_file: str | None = None
    generation: int | None
    created_at: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class RejectedRow(PoolRow):
    """One refused image: where it left the run, and why."""

    stage: str
    reasons: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """One real image a run used; `bytes` as read, id their sha256.

    `embedding` is that of one window: of its defect, or anywhere on the bead of a sound part.
    `defect_angle_deg` (to the bead) and `defect_share` (of the image, as large as an edit's region
    would be) are known where its defect's mask is.
    """

    id: str
    uri: str
    label: str
    kind: str
    bytes: bytes
    embedding: NDArray[np.float32]
    defect_angle_deg: float | None
    defect_share: float | None


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run, as JSON texts where a value has parts.

    `lineage` is what the model set was trained on (`encoded_lineage`), or empty.
    """

    run_id: str
    base_version: str | None
    params: str
    calibration: str
    funnel: str
    versions: str
    energy: str
    created_at: str
    model_set_fingerprint: str
    embedder_fingerprint: str
    lineage: str


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial of a version; `params` and `result` are JSON texts, `dataset` its path."""

    trial_id: str
    version: str
    dataset: str
    recommended_share: float
    is_promoted: bool | None
    reason: str
    params: str
    result: str
    created_at: str


def pool_schema(dim: int, *, rejected: bool = False) -> pa.Schema:
    """Columns of `pool` or `rejected`, for embeddings of `dim` numbers."""
    embedding = pa.list_(pa.float32(), dim)
    columns: list[tuple[str, pa.DataType]] = [
        ("id", pa.string()), ("source_id", pa.string()), ("kind", pa.string()),
        ("prompt", pa.string()), ("negative_prompt", pa.string()), ("region", pa.string()),
        ("seed", pa.int64()), ("strength", pa.float64()), ("guidance_scale", pa.float64()),
        ("steps", pa.int32()), ("effective_steps", pa.int32()),
        ("image", pa.large_binary()), ("mask", pa.large_binary()), ("bead_mask", pa.large_binary()),
        ("window_xywh", pa.list_(pa.int32(), 4)),
        ("embedding", embedding), ("embedding_image", embedding),
        ("s_i", pa.float64()), ("realism", pa.float64()), ("utility", pa.float64()),
        ("d_plaus", pa.float64()), ("gates", pa.string()), ("merged_ids", pa.list_(pa.string())),
        ("is_placebo", pa.bool_()), ("model_set", pa.string()), ("models", pa.string()),
        ("maker", pa.string()), ("maker_file", pa.string()),
        ("generation", pa.int32()), ("created_at", pa.string()), ("run_id", pa.string()),
    ]  # fmt: skip
    if rejected:
        columns += [("stage", pa.string()), ("reasons", pa.list_(pa.string()))]
    return pa.schema(columns)


def sources_schema(dim: int) -> pa.Schema:
    """Columns of `sources`, for embeddings of `dim` numbers."""
    return pa.schema(
        [
            ("id", pa.string()), ("uri", pa.string()), ("label", pa.string()),
            ("kind", pa.string()), ("bytes", pa.large_binary()),
            ("embedding", pa.list_(pa.float32(), dim)), ("defect_angle_deg", pa.float64()),
            ("defect_share", pa.float64()),
        ]
    )  # fmt: skip


SEALS_SCHEMA = pa.schema([("table_name", pa.string()), ("id", pa.string()), ("seal", pa.string())])
RUNS_SCHEMA = pa.schema(
    [(one.name, pa.string()) for one in fields(RunRow)]
    + [("version", pa.string()), ("accepted", pa.int64()), ("rows", pa.int64())]
    + [(f"{name}_manifest", pa.string()) for name in ("pool", "rejected", "sources")]
    + [(name, pa.string()) for name in ("times", "positions", "tombstone", "previous", "seal")]
)


def table_schemas(dim: int) -> dict[str, pa.Schema]:
    """The columns of every table that makes a version."""
    return {
        "pool": pool_schema(dim), "rejected": pool_schema(dim, rejected=True),
        "sources": sources_schema(dim), "runs": RUNS_SCHEMA, "seals": SEALS_SCHEMA,
    }  # fmt: skip


TRIALS_SCHEMA = pa.schema(
    [
        ("trial_id", pa.string()), ("version", pa.string()), ("dataset", pa.string()),
        ("recommended_share", pa.float64()), ("is_promoted", pa.bool_()), ("reason", pa.string()),
        ("params", pa.string()), ("result", pa.string()), ("created_at", pa.string()),
        ("position", pa.int64()), ("others", pa.string()), ("seal", pa.string()),
    ]
)  # fmt: skip


def as_record(row: PoolRow | SourceRow) -> dict[str, Any]:
    """The row as Arrow takes it."""
    record: dict[str, Any] = {}
    for one in fields(row):
        value = getattr(row, one.name)
        if isinstance(value, np.ndarray):
            value = value.astype(np.float32)
        elif isinstance(value, tuple):
            value = list(value)
        record[one.name] = value
    return record


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch as `as_record` gives them: embeddings as (d,) float32 arrays."""
    columns = [
        _vectors(column) if _is_vector(column.type) else column.to_pylist()
        for column in batch.columns
    ]
    names = batch.schema.names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _is_vector(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float32())


def _vectors(column: pa.Array) -> list[NDArray[np.float32] | None]:
    """(d,) float32 of each row, without passing through Python's floats where none is null."""
    if column.null_count:
        rows = column.to_pylist()
        return [None if row is None else np.asarray(row, dtype=np.float32) for row in rows]
    return list(column.flatten().to_numpy().reshape(len(column), -1))
