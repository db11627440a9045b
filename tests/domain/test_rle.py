"""Run lengths: as pycocotools writes them, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tasks.domain.rle import box_xywh, coco_rle, run_lengths

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans())


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_runs_give_the_mask_back(mask):
    runs = run_lengths(mask)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    assert (flat.reshape(mask.shape, order="F") == mask).all()
    assert all(runs[1:])


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_the_text_is_pycocotools_own(mask):
    coco = pytest.importorskip("pycocotools.mask")
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert coco_rle(mask) == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
    assert (coco.decode(coco_rle(mask)) == mask).all()
    assert list(coco.toBbox(theirs)) == list(box_xywh(mask))


def test_long_runs_take_several_digits():
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((900, 1200), dtype=bool)
    mask[300:700, 400] = mask[10, 900:] = True
    assert (coco.decode(coco_rle(mask)) == mask).all()
