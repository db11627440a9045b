"""A SAM checkpoint is the one its name says; an image in which nothing is found has no masks."""

import hashlib

import numpy as np
import pytest

from tasks.domain.errors import ModelSetError
from tasks.models.segmenter import SamConfig, Segmenter, build_sam


def test_a_checkpoint_is_known_by_the_md5_in_its_name(tmp_path):
    data = b"not weights, but whole"
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()[:6]
    sha256 = hashlib.sha256(data).hexdigest()[:6]
    for name, reason in (
        (f"sam_vit_b_{md5}.pth", "weights in"),
        (f"sam_vit_b_{sha256}.pth", "damaged or another file"),
        ("sam_vit_b_01ec64.pth", "damaged or another file"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelSetError, match=reason):
            Segmenter.load("sam_vit_b", tmp_path / name, "cpu")


def test_a_large_image_in_which_nothing_is_found_has_no_masks():
    sam = Segmenter(
        build_sam(SamConfig(image_px=64, depth=1, embed_dim=32, heads=2)),
        "cpu",
        {"pred_iou_thresh": 2.0},
    )
    image = np.full((300, 400, 3), 127, dtype=np.uint8)
    assert sam.masks(image, points_per_side=4, max_side_px=128).shape == (0, 300, 400)
