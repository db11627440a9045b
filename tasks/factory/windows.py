"""Training windows: small square crops of renders around a defect, or anywhere on a sound bead."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.factory.captions import caption
from tasks.factory.render import SOUND, TRAINED_KINDS, WeldImage, render_weld
from tasks.factory.styles import PlantStyle, random_style

RENDER_PX = 128
MIN_BEAD_SHARE = 0.2


@dataclass(frozen=True)
class WindowSample:
    """image_rgb (s, s, 3) uint8; bead_mask, defect_mask (s, s) bool; what it shows, in words."""

    image_rgb: NDArray[np.uint8]
    bead_mask: NDArray[np.bool_]
    defect_mask: NDArray[np.bool_]
    kind: str
    caption: str


def window_samples(
    seed: int,
    count: int,
    *,
    side_px: int = 64,
    sound_share: float = 0.34,
    style: PlantStyle | None = None,
) -> Iterator[WindowSample]:
    """`count` windows at the styles' native scale, kinds balanced; equal seeds, equal windows.

    Args:
        style: one plant for all; by default every window has a random one, never a held-out one.
    """  # fmt: skip
    rng = np.random.default_rng((seed, 77))
    made = 0
    while made < count:
        is_sound = rng.random() < sound_share
        kind = SOUND if is_sound else str(rng.choice(TRAINED_KINDS))
        plant = random_style(rng) if style is None else style
        render = render_weld(
            plant,
            kind,
            int(rng.integers(2**62)),
            height_px=RENDER_PX,
            width_px=RENDER_PX,
            scale=1.0,
        )
        for corner in _corners(render, side_px, rng)[: count - made]:
            yield _cut(render, corner, side_px, rng)
            made += 1


def _corners(render: WeldImage, side_px: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Up to two windows on a sound bead; one that holds most of a defect."""
    room = render.image_rgb.shape[0] - side_px
    tries = rng.integers(0, room + 1, size=(40, 2))
    if render.kind == SOUND:
        target, enough, most = render.bead_mask, MIN_BEAD_SHARE * side_px**2, 2
    else:
        target, most = render.defect_mask, 1
        rows, cols = np.nonzero(target)
        centre = np.array([rows.mean(), cols.mean()]) - side_px / 2
        tries = np.clip(np.rint(centre + rng.uniform(-16, 16, (40, 2))), 0, room).astype(int)
        enough = 0.6 * target.sum()
    inside = [
        (int(top), int(left))
        for top, left in tries
        if target[top : top + side_px, left : left + side_px].sum() >= enough
    ]
    return inside[:most]


def _cut(
    render: WeldImage, corner: tuple[int, int], side_px: int, rng: np.random.Generator
) -> WindowSample:
    """One window of a render."""
    box = slice(corner[0], corner[0] + side_px), slice(corner[1], corner[1] + side_px)
    return WindowSample(
        image_rgb=render.image_rgb[box],
        bead_mask=render.bead_mask[box],
        defect_mask=render.defect_mask[box],
        kind=render.kind,
        caption=caption(render.kind, rng),
    )
