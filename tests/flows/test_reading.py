"""Reading: what any of the pools named was made to forget is refused, whatever the flow."""

import hashlib

import numpy as np
from landed import land
from PIL import Image
from prefect import flow

from flows.reading import read_files
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.records import Refusal, RunContext
from tasks.ingest import list_source_files
from tasks.store.archive import Archive
from tasks.store.files import ContentStore


def test_what_one_of_the_pools_was_made_to_forget_is_refused(tmp_path):
    pools, images = [str(tmp_path / name) for name in ("a", "b", "none")], tmp_path / "images"
    images.mkdir()
    for index, name in enumerate(("kept", "of_a", "of_b")):
        pixels = np.random.default_rng(index).integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.png")
    for pool, name in zip(pools, ("of_a", "of_b"), strict=False):
        data = (images / f"{name}.png").read_bytes()
        source = hashlib.sha256(data).hexdigest()
        land(pool, "r1", ["x"], source=source, source_bytes=data)
        Archive(pool).forget(source, why=f"asked for {name}")
    store = str(tmp_path / "store")
    context = RunContext(
        store_uri=store, store_identity=ContentStore(store).identity, models="tiny",
        models_fingerprint="0" * 32,
    )  # fmt: skip
    params = AdaptParams(images=str(images), out=str(tmp_path / "out"), batch_size=2)

    @flow
    def reading() -> list[list]:
        files, _ = list_source_files(params.images)
        return read_files(files, pools, params, context)

    found = {
        one.subject if isinstance(one, Refusal) else one.name: getattr(one, "reason", "")
        for part in reading() for one in part
    }  # fmt: skip
    assert found["kept.png"] == ""
    assert "asked for of_a" in found["of_a.png"]
    assert "asked for of_b" in found["of_b.png"]
