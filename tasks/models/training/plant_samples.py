"""Samples of a plant: its windows turned and lit anew, each with a region to repaint and a caption.

A defect is given nearly tight, as an edit's region is; a sound window gets a region in the shape of
a real defect, so that shape alone tells nothing. Each kind owns a new token beside its plain words
(Gal et al., textual inversion, ICLR 2023).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.domain.shapes import DefectShape, drawn_like
from tasks.models.training.inpainter import Sample


@dataclass(frozen=True)
class PlantWindows:
    """Windows of one plant: images (n, s, s, 3) uint8, surfaces and defects (n, s, s), kinds."""

    images: NDArray[np.uint8]
    surfaces: NDArray[np.bool_]
    defects: NDArray[np.bool_]
    kinds: Sequence[str]


@dataclass(frozen=True)
class Augmentation:
    """Which changes of a window are physically fair in this plant."""

    flip_rows: bool = True
    flip_columns: bool = True
    quarter_turns: bool = False
    light: float = 0.1


@dataclass
class Wording:
    """What each kind is called: `prompts` by kind, the sound caption, and the new tokens."""

    prompts: dict[str, str]
    sound: str
    tokens: dict[str, str] = field(default_factory=dict)

    def caption(self, kind: str, rng: np.random.Generator) -> str:
        """The words of a kind with its token, now and then one of the two alone."""
        if kind not in self.prompts:
            return self.sound
        words, token = self.prompts[kind], self.tokens[kind]
        form = rng.random()
        if form < 0.7:
            return f"{words} {token}"
        return token if form < 0.85 else words

    def full(self) -> dict[str, str]:
        """The whole caption of each kind: what an edit should ask for."""
        return {kind: f"{words} {self.tokens[kind]}" for kind, words in self.prompts.items()}


def plant_samples(
    windows: PlantWindows,
    wording: Wording,
    shapes: Sequence[DefectShape],
    augmentation: Augmentation,
    copies: int,
    seed: int,
) -> Iterator[Sample]:
    """Every window so many times, turned and lit anew, each with a region to repaint."""
    for again in range(copies):
        for i, kind in enumerate(windows.kinds):
            rng = np.random.default_rng((seed, again, i))
            image, surface, defect = _turned(
                (windows.images[i], windows.surfaces[i], windows.defects[i]), augmentation, rng
            )
            image = _relit(image, augmentation.light, rng)
            region = _region(surface, defect, shapes, rng)
            yield Sample(image, region, defect, wording.caption(kind, rng))


def _turned(
    arrays: tuple[NDArray[Any], ...], fair: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[Any], ...]:
    """The arrays under one fair symmetry of the square."""
    if fair.flip_rows and rng.random() < 0.5:
        arrays = tuple(array[::-1] for array in arrays)
    if fair.flip_columns and rng.random() < 0.5:
        arrays = tuple(array[:, ::-1] for array in arrays)
    if fair.quarter_turns:
        turns = int(rng.integers(4))
        arrays = tuple(np.rot90(array, turns) for array in arrays)
    return tuple(np.ascontiguousarray(array) for array in arrays)


def _relit(image: NDArray[np.uint8], light: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The window a little brighter or darker."""
    gain = np.exp(rng.normal(0.0, light)) if light else 1.0
    return np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)


def _region(
    surface: NDArray[np.bool_],
    defect: NDArray[np.bool_],
    shapes: Sequence[DefectShape],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Around the defect where there is one; else in a defect's shape, somewhere on the surface."""
    side = surface.shape[0]
    region = defect
    if not defect.any():
        rows, cols = np.nonzero(surface)
        middle = (np.abs(rows - side / 2) < 0.3 * side) & (np.abs(cols - side / 2) < 0.3 * side)
        rows, cols = (rows[middle], cols[middle]) if middle.any() else (rows, cols)
        pick = int(rng.integers(len(rows)))
        anchor = (float(rows[pick]), float(cols[pick]))
        region = drawn_like(shapes, surface.shape, anchor, (0.0, 1.0), 0.8 * side, rng)
    grown = int(rng.integers(1, 5)) if rng.random() < 0.75 else int(rng.integers(5, 10))
    region = ndimage.binary_dilation(region, iterations=grown) & (surface | defect)
    return np.asarray(region if region.any() else surface, dtype=bool)
