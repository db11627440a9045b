"""What is measured of one zone of one image, real or edited, in the same way for both.

A zone is a region M with its bead. Real images lend zones drawn by the same strategies as the
edits, so that a candidate's figures are compared with like.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.colour import colour_features
from tasks.domain.continuity import defect_continuity
from tasks.domain.luminance import luminance
from tasks.domain.noise import residual_features
from tasks.domain.seam import seam_ratio
from tasks.domain.texture import texture_features
from tasks.domain.window import Box, crop

CALM_BLUR_PX = 2.0


@dataclass(frozen=True)
class ZoneFeatures:
    """lbp (p,), gradient (q,), colour (10,), seam, continuity (1,), residual (r,); all float32."""

    lbp: NDArray[np.float32]
    gradient: NDArray[np.float32]
    colour: NDArray[np.float32]
    seam: NDArray[np.float32]
    continuity: NDArray[np.float32]
    residual: NDArray[np.float32]


def zone_features(
    image_rgb: NDArray[np.uint8],
    bead: NDArray[np.bool_],
    region: NDArray[np.bool_],
    window_xywh: Box,
    before_rgb: NDArray[np.uint8] | None = None,
) -> ZoneFeatures:
    """The features of a region, measured within its window.

    Args:
        image_rgb: (H, W, 3).
        bead, region: (H, W).
        window_xywh: the square the region lies in; nothing outside it is read.
        before_rgb: (H, W, 3), the image before its edit; None for a real image.
    """
    window = np.asarray(crop(image_rgb, window_xywh))
    zone = np.asarray(crop(region, window_xywh), dtype=bool)
    inside = np.asarray(crop(bead, window_xywh), dtype=bool)
    grey = luminance(window)
    texture = texture_features(grey, zone)
    change = _change(window, None if before_rgb is None else crop(before_rgb, window_xywh))
    return ZoneFeatures(
        lbp=texture.lbp,
        gradient=texture.gradient,
        colour=colour_features(window, zone, inside),
        seam=np.array([seam_ratio(grey, zone, inside)], dtype=np.float32),
        continuity=np.array([defect_continuity(grey, zone)], dtype=np.float32),
        residual=residual_features(window.astype(np.float32), _calm_half(zone, change)),
    )


def _calm_half(zone: NDArray[np.bool_], change: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The half of the zone that the edit changed least: its grain tells of the making alone.

    In a real image, where nothing was edited, the half is as blotchy and as large, but random.
    """
    return np.asarray(zone & (change <= np.median(change[zone])))


def _change(after: NDArray[np.uint8], before: NDArray[np.uint8] | None) -> NDArray[np.float32]:
    """(h, w) smoothed change; smooth noise, the same for equal pixels, where there is no before."""
    if before is None:
        seed = int(after.astype(np.int64).sum())
        field = np.random.default_rng(seed).standard_normal(after.shape[:2])
        return np.asarray(ndimage.gaussian_filter(field, CALM_BLUR_PX), dtype=np.float32)
    difference = ndimage.gaussian_filter(luminance(after) - luminance(before), CALM_BLUR_PX)
    return np.asarray(np.abs(difference), dtype=np.float32)


def stacked(zones: list[ZoneFeatures]) -> dict[str, NDArray[np.float32]]:
    """The features of many zones as one (n, p) array a name; n must be at least 1."""
    return {
        name: np.stack([getattr(zone, name) for zone in zones])
        for name in ("lbp", "gradient", "colour", "seam", "continuity", "residual")
    }
