"""Scenes for the segmenter: welds at all scales among distractors, with a mask for every thing."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.factory.render import SOUND, TRAINED_KINDS, render_weld
from tasks.factory.styles import random_style
from tasks.factory.surface import smooth_noise

MIN_AREA_PX = 60


def segmentation_scene(
    seed: int, side_px: int = 256
) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
    """A picture (s, s, 3) uint8 and the masks (s, s) of the things in it, the bead first.

    The bead's scale varies by a factor of five; clamps, plates and patches lie about; the plate
    on either side of the bead and a defect are things too.
    """
    rng = np.random.default_rng((seed, 5))
    kind = SOUND if rng.random() < 0.6 else str(rng.choice(TRAINED_KINDS))
    scale = float(np.exp(rng.uniform(np.log(0.42), np.log(2.1)))) * side_px / 256
    weld = render_weld(
        random_style(rng), kind, int(rng.integers(2**62)),
        height_px=side_px, width_px=side_px, scale=scale,
    )  # fmt: skip
    image, bead = weld.image_rgb.astype(np.float32), weld.bead_mask.copy()
    things = [weld.defect_mask] if kind != SOUND else []
    for _ in range(int(rng.choice([0, 0, 1, 1, 2, 3]))):
        shape = _distractor(side_px, rng)
        if (shape & bead).sum() > 0.25 * bead.sum():
            continue
        _paint(image, shape, rng)
        bead &= ~shape
        things = [thing & ~shape for thing in things] + [shape]
    plates, count = ndimage.label(~bead & ~np.any([*things, np.zeros_like(bead)], axis=0))
    things += [plates == i + 1 for i in range(count)]
    if rng.random() < 0.15:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    gamma = np.exp(rng.normal(0, 0.3))
    toned = 255 * (np.clip(image, 0, 255) / 255) ** gamma
    kept = [thing for thing in things if thing.sum() >= MIN_AREA_PX]
    return np.rint(toned).astype(np.uint8), [bead, *kept]


def _distractor(side_px: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """An ellipse, a bar or a box, anywhere."""
    rows, cols = np.mgrid[:side_px, :side_px] - rng.uniform(0, side_px, (2, 1, 1))
    angle = rng.uniform(0, np.pi)
    u, v = cols * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - cols * np.sin(angle)
    a, b = np.exp(rng.uniform(np.log(0.03), np.log(0.25), 2)) * side_px
    if rng.random() < 0.4:
        return np.asarray((u / a) ** 2 + (v / b) ** 2 < 1)
    if rng.random() < 0.3:
        a = side_px
    return np.asarray((np.abs(u) < a) & (np.abs(v) < min(b, 0.12 * side_px)))


def _paint(image: NDArray[np.float32], shape: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Fill a shape with a surface of its own, a dark contour around it."""
    tone = rng.uniform(15, 235) + rng.normal(0, 12, 3)
    texture = rng.uniform(0, 18) * smooth_noise(rng, shape.shape, float(rng.uniform(0.6, 12)))
    soft = ndimage.gaussian_filter(shape.astype(np.float32), 0.7)[..., None]
    image *= 1 - soft
    image += soft * (tone + texture[..., None])
    contour = ndimage.binary_dilation(shape) & ~shape
    image[contour] *= rng.uniform(0.4, 1.0)
