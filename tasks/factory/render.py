"""Rendering: a plant style, a kind and a seed become one weld image with its masks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import BadParameters
from tasks.factory.defects import DEFECTS
from tasks.factory.lookalikes import add_lookalikes
from tasks.factory.optics import photographed, shaded
from tasks.factory.styles import PlantStyle
from tasks.factory.surface import sound_surface

SOUND = "sound"
UNSEEN_KIND = "crater"
TRAINED_KINDS = ("crack", "porosity", "oxidation", "spatter", "undercut", "lack_of_fusion")
MIN_SIDE_PX = 32


@dataclass(frozen=True)
class WeldImage:
    """image_rgb (H, W, 3) uint8; bead_mask, defect_mask (H, W) bool, the latter empty if sound."""

    image_rgb: NDArray[np.uint8]
    bead_mask: NDArray[np.bool_]
    defect_mask: NDArray[np.bool_]
    kind: str
    style: PlantStyle
    seed: int


def render_weld(
    style: PlantStyle,
    kind: str,
    seed: int,
    *,
    height_px: int = 256,
    width_px: int = 256,
    scale: float | None = None,
) -> WeldImage:
    """One photograph of a weld; equal arguments give equal pixels.

    Scene, defect and sensor draw from separate random streams, so the same seed with another
    kind is the same part with another defect. Sizes of a style hold for 256 px images; `scale`
    multiplies them, by default with the image's shorter side over 256.

    Raises:
        BadParameters: an unknown kind, or a side under 32 px.
    """
    if kind != SOUND and kind not in DEFECTS:
        raise BadParameters(f"Expected sound or one of {', '.join(DEFECTS)}, but got {kind!r}")
    if min(height_px, width_px) < MIN_SIDE_PX:
        raise BadParameters(f"Expected sides of {MIN_SIDE_PX} px or more")
    scene, marks, flaw, sensor = (np.random.default_rng((seed, stream)) for stream in range(4))
    scale = min(height_px, width_px) / 256 if scale is None else scale
    surface = sound_surface(style, scene, (height_px, width_px), scale)
    add_lookalikes(surface, marks)
    bead_mask = surface.bead_mask
    defect_mask = np.zeros_like(bead_mask)
    if kind != SOUND:
        defect_mask = DEFECTS[kind](surface, flaw)
    image = photographed(shaded(surface, style), style, scale, sensor)
    return WeldImage(image, bead_mask, defect_mask, kind, style, seed)
