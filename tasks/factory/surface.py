"""The sound surface: a brushed plate, a rippled bead, heat tint; height, albedo and gloss."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from tasks.factory.styles import PlantStyle

Field2D = NDArray[np.float32]
LINE = 4096  # px along the bead before its random curves repeat


@dataclass
class Surface:
    """What light meets: along, across (px and half widths), height (px), albedo, gloss.

    `along` runs along the bead in px, `across` is the signed distance to its centre line in half
    widths: |across| < 1 is the bead. albedo is (H, W, 3) in [0, 1], gloss scales highlights.
    """

    along: Field2D
    across: Field2D
    height: Field2D
    albedo: NDArray[np.float32]
    gloss: Field2D
    scale: float
    half_width_px: float

    @property
    def bead_mask(self) -> NDArray[np.bool_]:
        """(H, W), True on the bead."""
        return np.asarray(np.abs(self.across) < 1.0)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], sigma: float | tuple[float, float]
) -> Field2D:
    """Gaussian noise smoothed by sigma px, unit variance."""
    sigmas = (sigma, sigma) if isinstance(sigma, int | float) else sigma
    factor = max(1, int(min(sigmas) / 2))
    small = (-(-shape[0] // factor) + 2, -(-shape[1] // factor) + 2)
    noise = ndimage.gaussian_filter(
        rng.standard_normal(small, dtype=np.float32),
        [s / factor for s in sigmas],
        mode="wrap",
        truncate=3.0,
    )
    if factor > 1:
        noise = _linear(shape[0], small[0], factor) @ noise @ _linear(shape[1], small[1], factor).T
    noise = noise[: shape[0], : shape[1]]
    return np.asarray(noise / (noise.std() + 1e-6), dtype=np.float32)


@lru_cache(maxsize=64)
def _linear(length: int, knots: int, factor: int) -> Field2D:
    """The (length, knots) matrix of linear interpolation between knots `factor` px apart."""
    place = np.arange(length, dtype=np.float32)[:, None] / factor
    return np.asarray(np.clip(1 - np.abs(place - np.arange(knots)), 0, 1), dtype=np.float32)


def streaks(
    rng: np.random.Generator, shape: tuple[int, int], angle: float, along: float, across: float
) -> Field2D:
    """Noise smoothed by a Gaussian turned by `angle` (radians), by its transfer function."""
    fy = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    run = fx * np.float32(np.cos(angle)) + fy * np.float32(np.sin(angle))
    cut = fy * np.float32(np.cos(angle)) - fx * np.float32(np.sin(angle))
    transfer = np.exp(np.float32(-2 * np.pi**2) * ((run * along) ** 2 + (cut * across) ** 2))
    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * transfer
    noise = fft.irfft2(spectrum, s=shape)
    return np.asarray(noise / (noise.std() + 1e-6), dtype=np.float32)


def curve_noise(rng: np.random.Generator, length: int, sigma: float) -> Field2D:
    """1-D smooth noise, unit variance."""
    noise = ndimage.gaussian_filter1d(
        rng.standard_normal(length, dtype=np.float32), sigma, mode="wrap"
    )
    return np.asarray(noise / (noise.std() + 1e-6), dtype=np.float32)


def on_line(along: Field2D, values: Field2D) -> Field2D:
    """The value at each place along the bead, px from the image's centre, from one a pixel."""
    return np.asarray(values[(along + LINE / 2).astype(np.int32) % LINE])


def sound_surface(
    style: PlantStyle, rng: np.random.Generator, shape: tuple[int, int], scale: float
) -> Surface:
    """A sound weld of this plant; `scale` is the size of a style's pixel in image pixels."""
    along, offset = _bead_coordinates(style, rng, shape, scale)
    half = 0.5 * style.bead.width_px * scale * float(np.exp(rng.normal(0, 0.05)))
    ragged = 1 + 0.035 * curve_noise(rng, LINE, 6 * scale + 1)
    ragged += 0.02 * curve_noise(rng, LINE, 1.5 * scale + 0.5)
    across = offset / (half * on_line(along, ragged))
    surface = Surface(
        along=along, across=across,
        height=np.zeros(shape, np.float32), albedo=_plate_albedo(style, rng, shape, scale),
        gloss=np.ones(shape, np.float32), scale=scale, half_width_px=half,
    )  # fmt: skip
    _add_plate_relief(surface, style, rng)
    _add_heat_tint(surface, style, rng)
    _add_bead(surface, style, rng)
    return surface


def _bead_coordinates(
    style: PlantStyle, rng: np.random.Generator, shape: tuple[int, int], scale: float
) -> tuple[Field2D, Field2D]:
    """Along and across coordinates in px, from a wandering centre line."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    bead = style.bead
    angle = np.deg2rad(bead.angle_deg + rng.normal(0, bead.angle_spread_deg))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx = (cols - shape[1] / 2 - rng.normal(0, 8) * scale).astype(np.float32)
    dy = (rows - shape[0] / 2 - rng.normal(0, 14) * scale).astype(np.float32)
    along = dx * cosine + dy * sine
    across = dy * cosine - dx * sine
    places = np.linspace(along.min(), along.max(), max(shape), dtype=np.float32)
    waves = sum(
        rng.normal(0, 0.6) * np.sin(places / (scale * length) + rng.uniform(0, 6.3))
        for length in (90.0, 45.0, 25.0)
    )
    wander = np.interp(along, places, bead.wander_px * scale * waves)
    return along, across + wander.astype(np.float32)


def _plate_albedo(
    style: PlantStyle, rng: np.random.Generator, shape: tuple[int, int], scale: float
) -> NDArray[np.float32]:
    """(H, W, 3) base metal with mottling."""
    plate = style.plate
    mottle = 0.6 * smooth_noise(rng, shape, 18 * scale) + 0.4 * smooth_noise(rng, shape, 4 * scale)
    tone = 1 + plate.mottle * mottle
    hue = 1 + 0.25 * plate.mottle * smooth_noise(rng, shape, 12 * scale)[..., None] * np.array(
        [0.8, 0.0, -0.8], np.float32
    )
    return np.asarray(np.array(plate.colour, np.float32) * tone[..., None] * hue)


def _add_plate_relief(surface: Surface, style: PlantStyle, rng: np.random.Generator) -> None:
    """Brushing: fine streaks in albedo, as brushed metal shows them, in one direction."""
    shape = surface.height.shape
    angle = float(np.deg2rad(style.plate.brush_deg))
    brushing = streaks(rng, shape, angle, 14 * surface.scale + 3, 0.55)
    surface.albedo *= (1 + style.plate.brushed * brushing)[..., None]
    surface.height += 0.05 * smooth_noise(rng, shape, 1.2)


def _add_heat_tint(surface: Surface, style: PlantStyle, rng: np.random.Generator) -> None:
    """Oxide colours beside the bead (straw, brown, purple, blue) and soot close to it."""
    bead = style.bead
    outside = np.clip(np.abs(surface.across) - 1, 0, None) / max(bead.tint_width, 1e-3)
    outside *= 1 + 0.12 * smooth_noise(rng, outside.shape, 10 * surface.scale)
    near = outside < 1.4
    stops = np.array([0.0, 0.15, 0.35, 0.55, 0.75, 1.0, 1.4])
    colours = np.array(
        [
            [0.52, 0.50, 0.48], [0.60, 0.62, 0.72], [0.62, 0.66, 0.90], [0.78, 0.62, 0.78],
            [0.90, 0.74, 0.55], [1.0, 0.92, 0.74], [1.0, 1.0, 1.0],
        ]
    )  # fmt: skip
    tint = np.stack([np.interp(outside[near], stops, colours[:, c]) for c in range(3)], axis=-1)
    surface.albedo[near] *= (1 + bead.tint * (tint - 1)).astype(np.float32)


def _add_bead(surface: Surface, style: PlantStyle, rng: np.random.Generator) -> None:
    """The crown with its ripples: a skewed wave in the distance to a bowed front."""
    bead, scale, shape = style.bead, surface.scale, surface.height.shape
    inside = surface.bead_mask  # all that follows is worked out on the bead's own pixels
    t, half = surface.across[inside], surface.half_width_px
    profile = np.sqrt(1 - t**2)
    direction = 1.0 if rng.random() < 0.5 else -1.0
    front = direction * surface.along[inside] + bead.ripple_curve * half * t**2
    front += 0.9 * scale * smooth_noise(rng, shape, 5 * scale + 0.5)[inside]
    jitter = np.cumsum(0.16 * curve_noise(rng, LINE, 3 * scale + 0.5))
    phase = np.mod(front / (bead.ripple_period_px * scale) + 0.5 * on_line(front, jitter), 1.0)
    wave = np.where(phase < 0.72, phase / 0.72, (1 - phase) / 0.28) ** np.float32(1.3)
    strength = 0.55 + 0.45 * np.clip(1 + 0.5 * curve_noise(rng, LINE, 12 * scale), 0.1, 2)
    ripple = bead.ripple_depth * scale * wave * on_line(front, strength) * np.sqrt(profile)
    fine = 0.16 * scale * smooth_noise(rng, shape, 0.8 * scale + 0.3)[inside]
    surface.height[inside] += bead.height * half * profile + ripple + fine
    tone = 1 + 0.07 * smooth_noise(rng, shape, 5 * scale)[inside] + 0.16 * (wave - 0.5) * profile
    warm = 0.03 * smooth_noise(rng, shape, 14 * scale)[inside]
    shift = 1 + warm[:, None] * np.array([1, 0.1, -1.1], np.float32)
    surface.albedo[inside] = np.array(bead.colour, np.float32) * tone[:, None] * shift
    near = np.abs(np.abs(surface.across) - 1) * half < 7 * scale
    toe = (np.abs(surface.across[near]) - 1) * half / (2.2 * scale)
    surface.albedo[near] *= (1 - 0.35 * np.exp(-(toe**2)))[:, None]
    surface.gloss = np.where(inside, np.float32(1.5), np.float32(0.55))
