"""A surface that is given, as a mask or as the whole image, is taken as it is."""

import numpy as np
import pytest

from tasks.domain.errors import BadParameters
from tasks.domain.parameters import SegmentParams
from tasks.domain.records import Bead, Refusal, RunContext, Source, Stage
from tasks.segment import segment_batch
from tasks.store.files import ContentStore

MASK = np.zeros((70, 90), dtype=bool)
MASK[10:40, 20:80] = True
MASK[60, 5] = True
GIVEN = SegmentParams(surface="mask", mask="never read here.png")


def source(store: ContentStore, name: str, hw: tuple[int, int]) -> Source:
    image = store.put_image(np.full((*hw, 3), 90, dtype=np.uint8))
    return Source(
        id=f"id of {name}", name=name, uri=f"file:///{name}", label="OK", kind="sound",
        image=image, width_px=hw[1], height_px=hw[0],
    )  # fmt: skip


def context(store_uri: str, mask: np.ndarray | None) -> RunContext:
    store = ContentStore(store_uri)
    return RunContext(
        store_uri=store_uri, store_identity=store.identity, models="no model is opened",
        models_fingerprint="0" * 32, surface_mask=None if mask is None else store.put_mask(mask),
    )  # fmt: skip


def test_a_given_mask_is_the_bead_of_every_image_of_its_size(tmp_path):
    store = ContentStore(str(tmp_path))
    sources = [source(store, "a", (70, 90)), source(store, "b", (90, 70))]
    sources.append(source(store, "c", (70, 90)))
    bead, refusal, other = segment_batch.fn(sources, context(str(tmp_path), MASK), GIVEN)
    assert isinstance(bead, Bead)
    assert isinstance(other, Bead)
    assert (bead.source_id, other.source_id) == ("id of a", "id of c")
    assert np.array_equal(store.get_mask(bead.mask), MASK)
    assert bead.box_xywh == (5, 10, 75, 51)
    assert bead.score.total == 1
    assert isinstance(refusal, Refusal)
    assert (refusal.subject, refusal.stage) == ("b", Stage.SEGMENT)
    assert "image 70x90, mask 90x70" in refusal.reason


def test_a_context_without_the_mask_is_a_fault_and_no_refusal(tmp_path):
    store = ContentStore(str(tmp_path))
    with pytest.raises(BadParameters, match="prepare_run"):
        segment_batch.fn([source(store, "a", (70, 90))], context(str(tmp_path), None), GIVEN)


def test_the_whole_image_is_its_own_surface(tmp_path):
    store = ContentStore(str(tmp_path))
    (bead,) = segment_batch.fn(
        [source(store, "a", (70, 90))], context(str(tmp_path), None), SegmentParams(surface="whole")
    )
    assert isinstance(bead, Bead)
    assert store.get_mask(bead.mask).all()
    assert bead.box_xywh == (0, 0, 90, 70)
