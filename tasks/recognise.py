"""Recognise: which images a generator is to learn from are a pool's own."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.images import Pixels, display_rgb
from tasks.domain.leakage import fine_structure
from tasks.domain.recognition import Nearest, Recognised
from tasks.domain.records import RunContext, Source
from tasks.domain.trial_records import PoolSelection
from tasks.sources import source_pixels
from tasks.stage import stage
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.ground import Ground
from tasks.store.images import archived_pixels

MIN_SIMILARITY = 0.9
BLOCK = 256
SYNTHETIC = ("pool", "rejected")


def pool_selections(pools: Sequence[str]) -> list[PoolSelection]:
    """The latest version of each pool, sealed by its manifests.

    Raises:
        UnknownVersion: there is no pool at a URI.
    """
    found = []
    for uri in pools:
        archive = Archive(uri)
        manifests = archive.manifests()
        version = archive.versions()[-1]
        found += [
            PoolSelection(pool=uri, version=version, table=table, manifest=manifests[table])
            for table in (*SYNTHETIC, "sources")
        ]
    return found


@stage(version=1, run_name="recognise among {sources[0].name} +")
def recognise_sources(
    sources: Sequence[Source], selections: Sequence[PoolSelection], context: RunContext
) -> list[Recognised]:
    """Those of the sources that are a pool's own images, accepted or rejected."""
    store = ContentStore(context.store_uri)
    exact: dict[str, int] = {}
    fine = []
    for place, source in enumerate(sources):  # one image in memory at a time
        pixels = source_pixels(store, source)
        exact[_pixel_hash(pixels)] = place
        fine.append(_structure(pixels))
    structure = np.stack(fine)
    made, real = Nearest(structure), Nearest(structure)
    found: dict[int, Recognised] = {}
    rows: dict[str, Recognised] = {}
    for selection in selections:
        is_real = selection.table == "sources"
        for block in _blocks(selection):
            (real if is_real else made).see(
                [f"{selection.pool} {row['id']}" for row, _ in block],
                np.stack([_structure(image) for _, image in block]),
            )
            for row, image in () if is_real else block:
                told = Recognised(
                    source_id="", pool=selection.pool, row_id=row["id"],
                    row_source_id=row["source_id"], generation=row["generation"],
                )  # fmt: skip
                rows[f"{selection.pool} {row['id']}"] = told
                if (twin := exact.get(_pixel_hash(image))) is not None:
                    found[twin] = told
    near = made.nearer_than(real, MIN_SIMILARITY)
    found = {row: rows[name] for row, name in near.items()} | found
    return [
        told.model_copy(update={"source_id": sources[row].id})
        for row, told in sorted(found.items())
    ]


def _blocks(
    selection: PoolSelection,
) -> Iterator[list[tuple[dict[str, str | int], Pixels]]]:
    """Rows with their pixels, so many in memory at a time."""
    for rows in Ground(selection.pool).pixels(selection.table, selection.version, BLOCK):
        yield [(row, archived_pixels(row.pop("image"))) for row in rows]


def _structure(pixels: Pixels) -> NDArray[np.float32]:
    return fine_structure(display_rgb(pixels))


def _pixel_hash(pixels: Pixels) -> str:
    return hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()
