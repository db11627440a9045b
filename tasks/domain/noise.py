"""Sensor grain: its strength, and the features by which re-drawn grain betrays itself.

sigma = 1.4826 MAD(I * N) / 6 with N = [1 -2 1; -2 4 -2; 1 -2 1]  (Immerkaer, CVIU 1996), on the
flattest half of the pixels. Residual r = I - median_3x3(I): its spread, kurtosis, correlations and
spectrum in a zone against a ring around it (noise residuals in forensics: Lukas, Fridrich &
Goljan, IEEE TIFS 2006).
"""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tasks.domain.luminance import (
    BoolMask,
    FloatArray,
    GreyImage,
    luminance,
    require_pixels,
    require_same_grid,
)

Pixels = npt.NDArray[Any]

RESIDUAL_FEATURES = 24
_LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
_BAND_EDGES = (0.0, 0.125, 0.25, 0.375, 0.75)
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_RING_GAP_PX, _RING_PX = 3, 12
_MIN_PIXELS = 32
_BLACK, _WHITE = 2.0, 253.0
_EPS = 1e-3


def grain_sigma(grey: GreyImage, mask: BoolMask) -> float:
    """Robust standard deviation of the grain in the mask, where the image is flattest.

    Args:
        grey: (H, W), 0-255.
        mask: (H, W), True where to measure.

    Returns:
        Grey levels, >= 0; exact in the mean for white noise; clipped pixels are left out.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the mask is empty.
    """
    require_same_grid(grey, mask)
    require_pixels(mask, "mask to measure grain in")
    rows, cols = _window(mask, _RING_GAP_PX)
    image, where = np.asarray(grey[rows, cols], np.float32), mask[rows, cols]
    unclipped = where & (image > _BLACK) & (image < _WHITE)
    if unclipped.sum() >= _MIN_PIXELS:
        where = unclipped
    interior = ndimage.binary_erosion(where, iterations=1)
    if interior.sum() >= _MIN_PIXELS:
        where = interior
    response = ndimage.convolve(image, _LAPLACIAN, mode="reflect")[flattest_half(image, where)]
    return float(1.4826 * np.median(np.abs(response - np.median(response))) / 6.0)


def flattest_half(grey: GreyImage, mask: BoolMask) -> BoolMask:
    """The half of the mask's pixels with the smallest smoothed gradient; same shape, within it."""
    if not mask.any():
        return mask.copy()
    slope = ndimage.gaussian_gradient_magnitude(np.asarray(grey, np.float32), 2.0)
    return np.asarray(mask & (slope <= np.median(slope[mask])))


def residual_features(image_rgb: Pixels, zone: BoolMask) -> FloatArray:
    """What the grain of a zone looks like, beside the grain around it.

    In order: log spread, log spread ratio to the ring, kurtosis and its excess over the ring's,
    5 autocorrelations and their 5 excesses, 3 channel correlations and their 3 excesses,
    4 log ratios of spectral bands (low to high) to the ring's.

    Args:
        image_rgb: (H, W, 3), 0-255.
        zone: (H, W), True on the zone.

    Returns:
        (24,) float32, always finite; zeros stand for what too few pixels cannot tell.

    Raises:
        ShapeError: the shapes differ.
        BadInput: the zone is empty.
    """
    require_same_grid(image_rgb, zone)
    require_pixels(zone, "zone")
    rows, cols = _window(zone, _RING_GAP_PX + _RING_PX + 2)
    image, inner = image_rgb[rows, cols].astype(np.float32), zone[rows, cols]
    grey = luminance(image)
    outside = ndimage.distance_transform_edt(~inner)
    ring = (outside > _RING_GAP_PX) & (outside <= _RING_GAP_PX + _RING_PX)
    residual = image - ndimage.median_filter(image, size=(3, 3, 1))
    here = _grain_statistics(residual, flattest_half(grey, inner))
    if ring.sum() < _MIN_PIXELS:
        there = here
    else:
        there = _grain_statistics(residual, flattest_half(grey, ring))
    excess = here - there
    moments = [here[0], excess[0], here[1], excess[1]]
    features = [*moments, *here[2:7], *excess[2:7], *here[7:10], *excess[7:10], *excess[10:]]
    return np.nan_to_num(np.array(features, dtype=np.float32), posinf=0.0, neginf=0.0)


def _grain_statistics(residual: FloatArray, where: BoolMask) -> FloatArray:
    """(14,) log spread, kurtosis, 5 autocorrelations, 3 channel correlations, 4 log bands."""
    grey = residual.mean(axis=2)
    values = grey[where].astype(np.float64)
    centred = values - values.mean()
    variance = float((centred**2).mean()) + _EPS**2
    kurtosis = np.log1p(float((centred**4).mean()) / variance**2)
    lags = [_autocorrelation(grey, where, lag, variance) for lag in _LAGS]
    spread = [np.log(np.sqrt(variance) + _EPS), kurtosis]
    bands = _log_bands(np.where(where, grey, 0.0))
    parts = [*spread, *lags, *_channel_correlations(residual[where]), *bands]
    return np.array(parts, dtype=np.float32)


def _autocorrelation(
    grey: FloatArray, where: BoolMask, lag: tuple[int, int], variance: float
) -> float:
    """Correlation of pixel pairs at the lag, both in the mask, in [-1, 1]; 0 with too few pairs."""
    dy, dx = lag
    height, width = grey.shape
    pairs = where[: height - dy, : width - dx] & where[dy:, dx:]
    if pairs.sum() < _MIN_PIXELS // 2:
        return 0.0
    products = grey[: height - dy, : width - dx][pairs] * grey[dy:, dx:][pairs]
    return float(np.clip(products.mean() / variance, -1.0, 1.0))


def _channel_correlations(values: FloatArray) -> list[float]:
    """Correlations RG, RB, GB of (k, 3) residuals; 0 where a channel is constant."""
    centred = values.astype(np.float64) - values.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0)) + _EPS
    matrix = (centred.T @ centred) / max(len(values), 1) / np.outer(spread, spread)
    return [float(matrix[0, 1]), float(matrix[0, 2]), float(matrix[1, 2])]


def _log_bands(grey: npt.NDArray[Any]) -> list[float]:
    """Log share of the power in each of 4 radial bands (cycles a pixel)."""
    power = np.abs(np.fft.rfft2(grey)) ** 2
    fy, fx = np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None, :]
    radius = np.hypot(fy, fx)
    total = power.sum() + _EPS
    edges = itertools.pairwise(_BAND_EDGES)
    shares = [power[(radius >= low) & (radius < high)].sum() / total for low, high in edges]
    return [float(np.log(share + _EPS)) for share in shares]


def _window(mask: BoolMask, margin_px: int) -> tuple[slice, slice]:
    """The mask's bounding box grown by a margin, cut at the image."""
    (rows, cols) = ndimage.find_objects(mask.astype(np.uint8))[0]
    return (
        slice(max(rows.start - margin_px, 0), rows.stop + margin_px),
        slice(max(cols.start - margin_px, 0), cols.stop + margin_px),
    )
