"""Texture of a zone, to be compared with zones of real beads.

LBP: normalised histograms of uniform rotation-invariant local binary patterns, P = 8, R = 1 and 2
(Ojala, Pietikainen & Maenpaa, IEEE TPAMI 2002). Gradient energy: E_s = |grad (G_s * I)|^2 at
s = .7, 1.4, 2.8 px; the mean of log E_s (so that a few strong edges do not hide a flat or noisy
zone), its differences between scales, its spread, and the log of the grain.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import local_binary_pattern

from tasks.domain.luminance import (
    BoolMask,
    FloatArray,
    GreyImage,
    require_pixels,
    require_same_grid,
)
from tasks.domain.noise import grain_sigma

LBP_BINS = 20
GRADIENT_FEATURES = 9
_POINTS = 8
_RADII = (1, 2)
_SCALES_PX = (0.7, 1.4, 2.8)
_DILATION_PX = 3
_MARGIN_PX = 12
_MIN_COVERAGE = 0.6
_QUIET = 0.25


@dataclass(frozen=True, eq=False)
class TextureFeatures:
    """lbp (20,) float32, two histograms that sum to 1 each; gradient (9,) float32, logs."""

    lbp: FloatArray
    gradient: FloatArray


def texture_features(grey: GreyImage, zone: BoolMask) -> TextureFeatures:
    """The texture of a zone; the patterns are counted in the 3 px around it too.

    Args:
        grey: (H, W), 0-255.
        zone: (H, W), True on the zone.

    Returns:
        Finite features; they do not change with a constant added to the image.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the zone is empty.
    """
    require_same_grid(grey, zone)
    require_pixels(zone, "zone")
    box_rows, box_cols = ndimage.find_objects(zone.astype(np.uint8))[0]
    rows = slice(max(box_rows.start - _MARGIN_PX, 0), box_rows.stop + _MARGIN_PX)
    cols = slice(max(box_cols.start - _MARGIN_PX, 0), box_cols.stop + _MARGIN_PX)
    window = np.asarray(grey[rows, cols], dtype=np.float32)
    inner = zone[rows, cols]
    dilated = ndimage.binary_dilation(inner, iterations=_DILATION_PX)
    return TextureFeatures(lbp=_lbp_histograms(window, dilated), gradient=_energies(window, inner))


def _lbp_histograms(window: FloatArray, where: BoolMask) -> FloatArray:
    """(20,) the pattern histograms at both radii."""
    # Whole grey levels: on floats, rounding noise below one level would decide the patterns.
    levels = np.clip(np.rint(window), 0, 255).astype(np.uint8)
    histograms = []
    for radius in _RADII:
        codes = local_binary_pattern(levels, _POINTS, radius, method="uniform")[where]
        counts = np.bincount(codes.astype(np.intp), minlength=_POINTS + 2)
        histograms.append(counts / counts.sum())
    return np.concatenate(histograms).astype(np.float32)


def _energies(window: FloatArray, where: BoolMask) -> FloatArray:
    """(9,) mean log energies, their differences between scales, their spreads, log grain."""
    means, spreads = [], []
    for scale in _SCALES_PX:
        energy = np.log(ndimage.gaussian_gradient_magnitude(window, scale)[where] ** 2 + _QUIET)
        means.append(energy.mean())
        spreads.append(energy.std())
    ratios = [fine - coarse for fine, coarse in itertools.pairwise(means)]
    grain = np.log(grain_sigma(window, where) + _QUIET)
    return np.array([*means, *ratios, *spreads, grain], dtype=np.float32)


def bead_patches(
    bead_mask: BoolMask, size_px: int, count: int, rng: np.random.Generator
) -> list[BoolMask]:
    """Square zones spread over a bead: what real zones look like, defects included.

    Args:
        bead_mask: (H, W), True on the bead.
        size_px: side of the squares, >= 1.
        count: how many are wanted.
        rng: chooses among the squares of a grid of half their size.

    Returns:
        At most `count` masks (H, W), each a square cut by the bead and at least 60 % covered by
        it; the bead itself when no square fits; none when the bead is empty.
    """
    if not bead_mask.any():
        return []
    corners = _grid_corners(bead_mask, size_px)
    if len(corners) == 0:
        return [bead_mask.copy()]
    chosen = rng.permutation(len(corners))[:count]
    zones = []
    for top, left in corners[chosen]:
        zone = np.zeros_like(bead_mask)
        square = (slice(top, top + size_px), slice(left, left + size_px))
        zone[square] = bead_mask[square]
        zones.append(zone)
    return zones


def _grid_corners(bead_mask: BoolMask, size_px: int) -> npt.NDArray[np.intp]:
    """(k, 2) top-left corners of the grid squares that the bead covers enough."""
    table = np.pad(bead_mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    step = max(size_px // 2, 1)
    tops = np.arange(0, max(bead_mask.shape[0] - size_px, 0) + 1, step)
    lefts = np.arange(0, max(bead_mask.shape[1] - size_px, 0) + 1, step)
    top, left = (axis.ravel() for axis in np.meshgrid(tops, lefts, indexing="ij"))
    bottom = np.minimum(top + size_px, bead_mask.shape[0])
    right = np.minimum(left + size_px, bead_mask.shape[1])
    covered = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return np.asarray(np.stack([top, left], axis=1)[covered >= _MIN_COVERAGE * size_px**2])
