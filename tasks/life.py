"""Life: gather what a pool knows of one image, and hand out its four pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tasks.domain.errors import PoolBroken, UnknownVersion
from tasks.domain.life import Life, gate_checks
from tasks.store.archive import HEAVY, Archive
from tasks.store.images import decoded_mask, image_suffix
from tasks.store.lineages import decoded_lineage
from tasks.store.picture_files import write_pictures
from tasks.store.trials import Trials

PICTURES = {"image": "image.png", "mask": "mask.png", "bead_mask": "bead.png"}
UNTOLD = frozenset({"params", "result", "others", "seal", "position"})


def life_of(pool: str, text: str, version: str | None = None) -> Life:
    """The life of the image that a text names, as a version tells it.

    Raises:
        BadInput: the text names several images.
        UnknownVersion: it names none, or there is no such version.
        PoolBroken: what is kept of it cannot be read.
    """
    archive = Archive(pool)
    row = archive.row(archive.image_id(text, version), version)
    run = archive.run(row["run_id"])
    versions = archive.versions_of(row["id"])
    try:
        gates, models, params = (
            json.loads(one) for one in (row["gates"], row["models"], run["params"])
        )
        figures = json.loads(run["calibration"])
        bead, region = decoded_mask(row["bead_mask"]), decoded_mask(row["mask"])
    except (OSError, ValueError) as exc:
        raise PoolBroken(
            f"Expected a readable row {row['id']} of {pool}, but: {exc}; run `poolstar pool verify`"
        ) from exc
    scores = {name: row[name] for name in ("s_i", "realism")}
    return Life(
        table=row["table"],
        row={name: value for name, value in row.items() if name not in HEAVY | {"table"}},
        source=_source(archive, row["source_id"], version),
        size_px=(bead.shape[1], bead.shape[0]),
        bead_px=int(np.count_nonzero(bead)),
        region_px=int(np.count_nonzero(region)),
        models=models,
        lineage=_lineage(archive, run),
        checks=gate_checks(
            gates | scores, row["is_placebo"], params, figures.get("calibration", {})
        ),
        run={
            name: run[name]
            for name in ("run_id", "version", "base_version", "created_at", "model_set_fingerprint")
        },
        versions=tuple(versions),
        trials=tuple(
            {name: value for name, value in trial.items() if name not in UNTOLD}
            for trial in Trials(pool).rows()
            if trial["version"] in versions
        ),
    )


def save_pictures(pool: str, row_id: str, folder: str, version: str | None = None) -> list[Path]:
    """Write source, image, mask and bead of one image into a folder, under names of our own."""
    archive = Archive(pool)
    row = archive.row(row_id, version)
    source = archive.source(row["source_id"], version)["bytes"]
    pictures = {name: row[column] for column, name in PICTURES.items()}
    return write_pictures(Path(folder), {f"source{image_suffix(source)}": source} | pictures)


def _source(archive: Archive, source_id: str, version: str | None) -> dict[str, Any]:
    """What is told of a source; its bytes by their number."""
    try:
        row = archive.source(source_id, version)
    except UnknownVersion:  # another tool may land rows without their source's bytes
        return {"id": source_id, "uri": "not kept", "label": "unknown", "size_bytes": None}
    return {name: row[name] for name in ("id", "uri", "label")} | {"size_bytes": len(row["bytes"])}


def _lineage(archive: Archive, run: dict[str, Any]) -> dict[str, Any]:
    """How many real images, and defects, the run's model set had learned from."""
    text = archive.lineage_text(run["model_set_fingerprint"])
    if not text:
        return {}
    sources, _ = decoded_lineage(text)
    return {"sources": len(sources), "ko": sum(one.label == "KO" for one in sources)}
