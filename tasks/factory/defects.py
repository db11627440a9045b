"""The defects: each changes height, albedo and gloss of a surface and returns its exact mask."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.factory.surface import Surface, smooth_noise

BoolMask = NDArray[np.bool_]
Point = tuple[float, float]


def place_on_bead(
    surface: Surface, rng: np.random.Generator, low: float, high: float, margin_px: float
) -> Point:
    """A point (row, col) with low <= |across| < high, away from the image's border if possible."""
    height, width = surface.height.shape
    rows, cols = np.ogrid[:height, :width]
    margin = min(margin_px, 0.25 * min(height, width))
    free = (rows > margin) & (rows < height - margin) & (cols > margin) & (cols < width - margin)
    level = np.abs(surface.across)
    for chosen in ((level >= low) & (level < high) & free, (level < 1) & free, level < 1):
        if chosen.any():
            ys, xs = np.nonzero(chosen)
            pick = int(rng.integers(len(ys)))
            return float(ys[pick]), float(xs[pick])
    return height / 2, width / 2


def _around(
    surface: Surface, centre: NDArray[np.float64], reach_px: float
) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.float64]]:
    """The box within reach of a centre, and its pixels' offsets (rows, cols) from it."""
    low = np.maximum(np.floor(np.asarray(centre) - reach_px).astype(int), 0)
    high = np.maximum(np.ceil(np.asarray(centre) + reach_px).astype(int) + 1, 0)
    box = slice(low[0], high[0]), slice(low[1], high[1])
    rows, cols = np.ogrid[: surface.height.shape[0], : surface.height.shape[1]]
    return box, rows[box[0]] - centre[0], cols[:, box[1]] - centre[1]


def bead_direction(surface: Surface, at: Point) -> float:
    """Angle of the bead's axis at a point, radians from +x towards +y."""
    row = int(np.clip(at[0], 1, surface.along.shape[0] - 2))
    col = int(np.clip(at[1], 1, surface.along.shape[1] - 2))
    dx = surface.along[row, col + 1] - surface.along[row, col - 1]
    dy = surface.along[row + 1, col] - surface.along[row - 1, col]
    return float(np.arctan2(dy, dx))


def _path_distance(
    surface: Surface, path: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance to a polyline in px and the relative position (0..1) of the nearest point on it."""
    height, width = surface.height.shape
    reach = 14 * surface.scale
    top, left = np.maximum(np.floor(path.min(0) - reach), 0).astype(int)
    bottom, right = np.ceil(path.max(0) + reach).astype(int)
    rows, cols = np.mgrid[top : min(bottom, height), left : min(right, width)]
    distance = np.full((height, width), 1e3, np.float32)
    place = np.zeros((height, width), np.float32)
    if rows.size:
        gap = np.hypot(rows[..., None] - path[:, 0], cols[..., None] - path[:, 1])
        distance[rows, cols] = gap.min(-1)
        place[rows, cols] = gap.argmin(-1) / max(1, len(path) - 1)
    return distance, place


def _walk(
    start: Point, angle: float, length: float, wander: float, rng: np.random.Generator, step: float
) -> NDArray[np.float64]:
    """Points of a random walk centred on start."""
    count = max(4, int(length / step))
    headings = angle + ndimage.gaussian_filter1d(rng.normal(0, wander, count), 1.0).cumsum()
    moves = step * np.stack([np.sin(headings), np.cos(headings)], axis=1)
    path = np.cumsum(moves, axis=0)
    return np.asarray(path - path[count // 2] + np.asarray(start))


def add_crack(surface: Surface, rng: np.random.Generator) -> BoolMask:
    """A thin dark line that wanders along or across the bead, with a bright lip."""
    s = surface.scale
    at = place_on_bead(surface, rng, 0.0, 0.55, 36 * s)
    angle = bead_direction(surface, at) + (0 if rng.random() < 0.6 else np.pi / 2)
    angle += rng.normal(0, 0.2)
    path = _walk(at, angle, rng.uniform(26, 48) * s, 0.13, rng, 0.8 * s)
    jag = 0.7 * s * rng.normal(size=path.shape)
    distance, place = _path_distance(surface, path + ndimage.gaussian_filter1d(jag, 0.7, axis=0))
    width = rng.uniform(0.9, 1.6) * s * (0.45 + 0.75 * np.sin(np.pi * np.clip(place, 0.03, 0.97)))
    inside = np.abs(surface.across) < 1.0
    core = np.exp(-((distance / width) ** 2)) * inside
    lip = np.exp(-(((distance - 2.1 * width) / (0.8 * width)) ** 2)) * inside
    surface.height += (-2.2 * s * core + 0.5 * s * lip).astype(np.float32)
    surface.albedo *= (1 - 0.93 * core)[..., None].astype(np.float32)
    surface.gloss *= (1 - core).astype(np.float32)
    return np.asarray((core > 0.12) | (lip > 0.6))


def add_porosity(surface: Surface, rng: np.random.Generator) -> BoolMask:
    """A cluster of round pits, dark inside with a lit rim."""
    s = surface.scale
    at = place_on_bead(surface, rng, 0.0, 0.6, 34 * s)
    height, width = surface.height.shape
    mask = np.zeros((height, width), bool)
    count = int(rng.integers(2, 9))
    for _ in range(count):
        centre = rng.normal(at, 8.5 * s)
        radius = s * float(np.clip(rng.lognormal(0.85, 0.4), 1.4, 4.6))
        box, dy, dx = _around(surface, centre, 2.2 * radius)
        r = np.hypot(dy, dx * rng.uniform(0.85, 1.18)) / radius
        row, col = int(np.clip(centre[0], 0, height - 1)), int(np.clip(centre[1], 0, width - 1))
        if abs(surface.across[row, col]) > 0.88:
            continue
        pit = np.clip(1 - r**2, 0, 1) ** 0.7
        rim = np.exp(-(((r - 1.15) / 0.22) ** 2))
        surface.height[box] += (-1.5 * radius * pit + 0.22 * radius * rim).astype(np.float32)
        dark = np.clip(1.12 - r, 0, 0.62) / 0.62
        surface.albedo[box] *= (1 - 0.86 * dark)[..., None].astype(np.float32)
        surface.gloss[box] *= (1 - 0.85 * dark).astype(np.float32)
        mask[box] |= r < 1.4
    return mask if mask.any() else add_porosity(surface, rng)


def add_oxidation(surface: Surface, rng: np.random.Generator) -> BoolMask:
    """A sooty, crusty blotch in dark brown, blue or grey that kills highlights."""
    s = surface.scale
    at = place_on_bead(surface, rng, 0.0, 0.7, 32 * s)
    shape = surface.height.shape
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    radius = rng.uniform(9, 18) * s
    stretch = rng.uniform(0.75, 1.4)
    blob = 1 - np.hypot((rows - at[0]) * stretch, (cols - at[1]) / stretch) / radius
    blob = blob + 0.28 * smooth_noise(rng, shape, 4 * s) + 0.14 * smooth_noise(rng, shape, 1.3 * s)
    cover = np.clip(blob / 0.35, 0, 1) * np.clip((1.06 - np.abs(surface.across)) / 0.1, 0, 1)
    near = np.hypot(rows - at[0], cols - at[1]) < 2.1 * radius
    cover = (cover * near).astype(np.float32)
    colours = [(0.17, 0.13, 0.10), (0.12, 0.13, 0.17), (0.16, 0.16, 0.155), (0.24, 0.15, 0.09)]
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    crust = 1 + 0.35 * smooth_noise(rng, shape, 1.1 * s)
    amount = (rng.uniform(0.75, 0.93) * cover)[..., None]
    surface.albedo = surface.albedo * (1 - amount) + amount * colour * crust[..., None]
    surface.height += 0.45 * s * cover * smooth_noise(rng, shape, 1.4 * s)
    surface.gloss *= 1 - 0.92 * cover
    return np.asarray(cover > 0.2)


def add_spatter(surface: Surface, rng: np.random.Generator) -> BoolMask:
    """Droplets of metal stuck on the bead and a few on the plate: shiny domes, dark feet."""
    s = surface.scale
    at = place_on_bead(surface, rng, 0.1, 0.75, 34 * s)
    mask = np.zeros(surface.height.shape, bool)
    mean = float(surface.albedo.mean())
    for index in range(int(rng.integers(3, 9))):
        centre = rng.normal(at, 9.0 * s) if index else np.asarray(at)
        radius = s * float(np.clip(rng.lognormal(1.1, 0.35), 1.8, 6.0))
        box, dy, dx = _around(surface, centre, 1.8 * radius)
        r = (np.hypot(dy, dx) / radius).astype(np.float32)
        dome = np.sqrt(np.clip(1 - r**2, 0, 1))
        below = surface.height[box]
        surface.height[box] = np.where(r < 1, below * 0.3 + 1.25 * radius * dome, below)
        foot = np.exp(-(((r - 1.1) / 0.16) ** 2))
        tone = min(1.0, mean * (1 + rng.uniform(0.15, 0.5)))
        albedo = np.where((r < 1)[..., None], tone, surface.albedo[box])
        surface.albedo[box] = albedo * (1 - 0.7 * foot)[..., None]
        surface.gloss[box] = np.where(r < 1, 2.4, surface.gloss[box] * (1 - 0.6 * foot))
        mask[box] |= r < 1.3
    return mask


def add_undercut(surface: Surface, rng: np.random.Generator) -> BoolMask:
    """A dark groove melted along the bead's toe."""
    s = surface.scale
    at = place_on_bead(surface, rng, 0.82, 0.98, 36 * s)
    row, col = int(at[0]), int(at[1])
    side = np.sign(surface.across[row, col]) or 1.0
    centre = surface.along[row, col]
    half_length = rng.uniform(13, 24) * s
    ends = np.clip(1.1 - (np.abs(surface.along - centre) / half_length) ** 4, 0, 1)
    depth_px = rng.uniform(2.0, 3.4) * s
    ragged = 0.3 * smooth_noise(rng, surface.height.shape, 2.2 * s)
    offset = (side * surface.across - 0.9) * surface.half_width_px / depth_px + ragged
    groove = (np.exp(-(offset**2)) * ends * (np.sign(surface.across) == side)).astype(np.float32)
    inside = np.abs(surface.across) < 1.0
    groove = groove * inside
    surface.height -= 3.0 * s * groove
    surface.albedo *= (1 - 0.78 * groove)[..., None]
    surface.gloss *= 1 - 0.8 * groove
    return np.asarray(groove > 0.15)


def add_lack_of_fusion(surface: Surface, rng: np.random.Generator) -> BoolMask:
    """Unmelted joint: a flat notch in the bead, plate showing, a sharp black gap at its edge."""
    s = surface.scale
    at = place_on_bead(surface, rng, 0.35, 0.75, 36 * s)
    row, col = int(at[0]), int(at[1])
    side = np.sign(surface.across[row, col]) or 1.0
    centre = surface.along[row, col]
    half_length = rng.uniform(11, 20) * s
    shape = surface.height.shape
    ragged = 0.05 * smooth_noise(rng, shape, 2.5 * s) + 0.03 * smooth_noise(rng, shape, 1.0 * s)
    start = rng.uniform(0.3, 0.55) + 0.35 * (np.abs(surface.along - centre) / half_length) ** 4
    depth = (side * surface.across - start - ragged) * surface.half_width_px
    notch = (np.clip(depth / (1.2 * s), 0, 1) * (np.abs(surface.across) < 1.0)).astype(np.float32)
    notch *= np.abs(surface.along - centre) < 1.35 * half_length
    gap = np.exp(-((depth / (1.5 * s)) ** 2)) * (np.abs(surface.along - centre) < 1.3 * half_length)
    gap = (gap * (np.abs(surface.across) < 1.0)).astype(np.float32)
    flat = 0.25 * s + 0.08 * smooth_noise(rng, shape, 1.0)
    surface.height = (surface.height * (1 - notch) + notch * flat - 2.2 * s * gap).astype(
        np.float32
    )
    grey = surface.albedo.mean(axis=2, keepdims=True)
    plain = np.clip(0.62 * grey + 0.12, 0, 1)
    surface.albedo = (
        surface.albedo * (1 - 0.85 * notch[..., None]) + 0.85 * notch[..., None] * plain
    )
    surface.albedo = (surface.albedo * (1 - 0.92 * gap)[..., None]).astype(np.float32)
    surface.gloss *= (1 - 0.75 * notch) * (1 - gap)
    return np.asarray((notch > 0.3) | (gap > 0.2))


def add_crater(surface: Surface, rng: np.random.Generator) -> BoolMask:
    """A burn-through: one large hole with a molten rim; never shown to a model in training."""
    s = surface.scale
    at = place_on_bead(surface, rng, 0.0, 0.4, 30 * s)
    shape = surface.height.shape
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    radius = rng.uniform(8, 14) * s
    r = np.hypot(rows - at[0], (cols - at[1]) * rng.uniform(0.8, 1.2)) / radius
    r = r + 0.09 * smooth_noise(rng, shape, 4 * s)
    hole = 1 / (1 + np.exp((r - 0.75) / 0.05))
    rim = np.exp(-(((r - 1.05) / 0.18) ** 2))
    surface.height += (-9 * s * hole + 2.6 * s * rim).astype(np.float32)
    surface.albedo *= (1 - 0.95 * hole)[..., None].astype(np.float32)
    surface.gloss = (surface.gloss * (1 - hole) + 0.8 * rim).astype(np.float32)
    return np.asarray(r < 1.35)


DEFECTS: dict[str, Callable[[Surface, np.random.Generator], BoolMask]] = {
    "crack": add_crack,
    "porosity": add_porosity,
    "oxidation": add_oxidation,
    "spatter": add_spatter,
    "undercut": add_undercut,
    "lack_of_fusion": add_lack_of_fusion,
    "crater": add_crater,
}
