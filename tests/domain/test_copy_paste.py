"""Copy-paste: the real defect's own pixels on another sound part, and nothing else."""

import numpy as np
import pytest

from tasks.domain.copy_paste import pasted
from tasks.domain.errors import BadInput

SOUND = np.full((64, 256, 3), 120, np.uint8)


def defective() -> tuple[np.ndarray, np.ndarray]:
    view, mask = np.full((64, 256, 3), 110, np.uint8), np.zeros((64, 256), bool)
    mask[20:30, 100:130] = True
    view[mask] = 10
    return view, mask


@pytest.mark.parametrize("along_only", [True, False])
def test_the_defect_moves_whole_and_the_rest_stays(along_only):
    view, mask = defective()
    places = set()
    for seed in range(30):
        out, where = pasted(SOUND, view, mask, np.random.default_rng(seed), along_only=along_only)
        dark = (out < 40).all(axis=2)
        assert np.array_equal(where, dark)
        assert dark.sum() == pytest.approx(300, rel=0.1)
        rows, columns = np.nonzero(dark)
        places.add((rows.min(), columns.min()))
        if along_only:
            assert (rows.min(), rows.max()) == (20, 29)
        far = np.ones((64, 256), bool)
        top, left = max(rows.min() - 5, 0), max(columns.min() - 5, 0)
        far[top : rows.max() + 6, left : columns.max() + 6] = False
        assert np.array_equal(out[far], SOUND[far])
    assert len(places) > 15


def test_a_defect_as_wide_as_the_view_still_fits_and_an_empty_one_is_refused():
    view, _ = defective()
    whole = np.ones((64, 256), bool)
    out, _ = pasted(SOUND, view, whole, np.random.default_rng(0), along_only=True)
    assert out[32, 128].tolist() == view[32, 255 - 128].tolist() or out.shape == SOUND.shape
    with pytest.raises(BadInput, match="empty"):
        pasted(SOUND, view, np.zeros((64, 256), bool), np.random.default_rng(0), along_only=True)
