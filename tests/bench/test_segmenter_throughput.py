"""The bead by our segmenter and by SAM's own automatic masks: the same bead, and the time of each.

Whether both find the same bead is told by the tiny SAM, which has learned to; SAM ViT-B at full
size has random weights here, of whose masks none survives, and tells the time alone. About four
minutes.
"""

from collections.abc import Callable

import numpy as np
import pytest
from machine import watched
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry
from skimage.transform import resize

from tasks.domain.bead import best_bead
from tasks.domain.luminance import luminance
from tasks.domain.parameters import SegmentParams
from tasks.factory.render import SOUND, TRAINED_KINDS, WeldImage, render_weld
from tasks.factory.styles import DEMO_PLANT, random_style
from tasks.models.model_set import BUNDLED
from tasks.models.segmenter import Segmenter
from tasks.segment import find_bead

pytestmark = pytest.mark.bench
IMAGES, PHOTO_HW_PX, SAME_IOU = 12, (1536, 2048), 0.95
PARAMS = SegmentParams()


def welds(count: int) -> list[WeldImage]:
    """Parts of the demo's plant and of random ones, in turn."""
    rng = np.random.default_rng(7)
    kinds = (SOUND, *TRAINED_KINDS)
    styles = [DEMO_PLANT if i % 2 == 0 else random_style(rng) for i in range(count)]
    return [
        render_weld(style, kinds[i % len(kinds)], 7_000_000 + i) for i, style in enumerate(styles)
    ]


def bead_by_generator(
    generator: SamAutomaticMaskGenerator, image_rgb: np.ndarray
) -> np.ndarray | None:
    """The best bead of the masks that segment-anything's own example makes."""
    found = [one["segmentation"] for one in generator.generate(image_rgb)]
    masks = np.stack(found) if found else np.zeros((0, *image_rgb.shape[:2]), dtype=bool)
    best = best_bead(luminance(image_rgb), masks, PARAMS)
    return None if best is None else best[0]


def bead_by_ours(segmenter: Segmenter, image_rgb: np.ndarray) -> np.ndarray | None:
    best, _ = find_bead(segmenter, image_rgb, PARAMS)
    return None if best is None else best[0]


def timed(find: Callable[[np.ndarray], np.ndarray | None], image: np.ndarray) -> tuple:
    """What is found, the seconds it took and those its cores computed."""
    with watched() as watch:
        found = find(image)
    return found, watch.seconds, watch.cpu_s


def overlap(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """IoU of two beads; 1 where neither found one, 0 where one did."""
    if a is None or b is None:
        return float(a is None and b is None)
    return float((a & b).sum() / (a | b).sum())


def test_the_same_beads_in_less_time(record):
    segmenter = Segmenter.load("sam_safetensors", BUNDLED["tiny"] / "segmenter", "cpu")
    generator = SamAutomaticMaskGenerator(
        segmenter._sam, pred_iou_thresh=segmenter._min_quality,
        stability_score_thresh=segmenter._min_stability,
    )  # fmt: skip
    ious, right, times = [], [], []
    for weld in welds(IMAGES):
        image = weld.image_rgb
        mine, *mine_s = timed(lambda one: bead_by_ours(segmenter, one), image)
        stock, *stock_s = timed(lambda one: bead_by_generator(generator, one), image)
        ious.append(overlap(mine, stock))
        right.append([overlap(one, weld.bead_mask) for one in (mine, stock)])
        times.append((mine_s, stock_s))
    (ours, ours_cpu), (theirs, theirs_cpu) = np.median(times, axis=0)
    sam = sam_model_registry["vit_b"]().eval()
    photo = resize(welds(1)[0].image_rgb, PHOTO_HW_PX, preserve_range=True).astype(np.uint8)
    large = Segmenter(sam, "cpu", {})
    _, ours_b, ours_b_cpu = timed(lambda one: bead_by_ours(large, one), photo)
    plain = SamAutomaticMaskGenerator(sam)
    _, theirs_b, theirs_b_cpu = timed(lambda one: bead_by_generator(plain, one), photo)
    both = [one for one in ious if one > 0]
    record(
        "sam", ours=ours_b, theirs=theirs_b, ratio=theirs_b / ours_b, unit="s an image",
        cpu_ratio=theirs_b_cpu / ours_b_cpu, model="vit_b, random weights, 2048x1536",
        tiny_ours=ours, tiny_theirs=theirs, tiny_ratio=theirs / ours,
        tiny_cpu_ratio=theirs_cpu / ours_cpu, ious=[round(one, 3) for one in ious],
        found_by_both=len(both), median_iou=float(np.median(both)),
        ious_with_the_truth=np.round(right, 3).tolist(),
        limit="the image encoder once an image, then the decoder on a grid of "
        f"{PARAMS.points_per_side}^2 points (theirs: 32^2)",
    )  # fmt: skip
    assert np.median(both) >= SAME_IOU
    assert np.mean([one >= SAME_IOU for one in both]) >= 0.9
