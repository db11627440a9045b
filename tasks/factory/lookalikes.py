"""Sound look-alikes: scratches, stains and marks, so that `unusual` does not mean `KO`."""

import numpy as np
from scipy import ndimage

from tasks.factory.surface import Surface, smooth_noise


def add_lookalikes(surface: Surface, rng: np.random.Generator) -> None:
    """Some harmless irregularities, on the plate mostly, on a part of all images."""
    if rng.random() < 0.35:
        _add_scratches(surface, rng)
    if rng.random() < 0.3:
        _add_stain(surface, rng)
    if rng.random() < 0.12:
        _add_marker(surface, rng)


def _line(surface: Surface, rng: np.random.Generator, width_px: float, bow: float) -> np.ndarray:
    """A long soft line of the given width somewhere on the image, in [0, 1]."""
    height, width = surface.height.shape
    rows, cols = np.ogrid[:height, :width]
    angle = rng.uniform(0, np.pi)
    dy, dx = rows - rng.uniform(0, height), cols - rng.uniform(0, width)
    along, off = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    off = off + bow * (along / max(height, width)) ** 2 * height
    ends = np.clip(1.2 - np.abs(along) / (rng.uniform(0.08, 0.3) * max(height, width)), 0, 1)
    return np.asarray(np.exp(-((off / width_px) ** 2)) * np.minimum(ends * 3, 1))


def _add_scratches(surface: Surface, rng: np.random.Generator) -> None:
    plate = np.abs(surface.across) > 1.05
    for _ in range(int(rng.integers(1, 5))):
        line = (
            _line(surface, rng, rng.uniform(0.4, 0.9) * surface.scale, rng.normal(0, 0.3)) * plate
        )
        surface.albedo *= (1 + rng.uniform(-0.35, 0.45) * line)[..., None].astype(np.float32)


def _add_stain(surface: Surface, rng: np.random.Generator) -> None:
    shape = surface.height.shape
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    radius = rng.uniform(10, 45) * surface.scale
    blob = 1 - np.hypot(rows - rng.uniform(0, shape[0]), cols - rng.uniform(0, shape[1])) / radius
    blob = np.clip((blob + 0.3 * smooth_noise(rng, shape, 6 * surface.scale)) * 2, 0, 1)
    cover = blob * (np.abs(surface.across) > 1.0)
    colour = 1 - rng.uniform(0.1, 0.4) * np.array([0.8, 1.0, 1.15]) * rng.uniform(0.7, 1.1, 3)
    surface.albedo *= (1 - cover[..., None] * (1 - colour)).astype(np.float32)


def _add_marker(surface: Surface, rng: np.random.Generator) -> None:
    line = _line(surface, rng, rng.uniform(1.2, 2.4) * surface.scale, rng.normal(0, 1.2))
    line = ndimage.gaussian_filter(line, 0.5) * (np.abs(surface.across) > 1.05)
    colours = ((0.75, 0.12, 0.12), (0.9, 0.9, 0.88), (0.1, 0.15, 0.5), (0.08, 0.08, 0.08))
    colour = np.array(colours[int(rng.integers(len(colours)))])
    surface.albedo = (
        surface.albedo * (1 - 0.8 * line[..., None]) + 0.8 * line[..., None] * colour
    ).astype(np.float32)
