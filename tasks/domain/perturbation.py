"""Perturbations: what a camera, a light or a fixture may do to a view (article 4, robustness).

Rotation about the centre, Gaussian blur, Gaussian noise and brightness, each at three severities
(after Hendrycks & Dietterich, ICLR 2019). And how training views vary: mirrored in every arm; in
the trial's control arm also by the classic augmentation: small rotations, shifts, brightness and
contrast, light noise.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

View = NDArray[np.uint8]
Mask = NDArray[np.bool_]
SEVERITIES: dict[str, tuple[float, float, float]] = {
    "rotation": (4.0, 8.0, 12.0),  # degrees
    "blur": (0.7, 1.2, 2.0),  # sigma, px
    "noise": (4.0, 8.0, 16.0),  # sigma, grey levels
    "brightness": (0.85, 0.7, 0.55),  # factor
}


def perturbed(view: View, name: str, amount: float, rng: np.random.Generator) -> View:
    """An (h, w, 3) view under one perturbation; `rng` draws noise and the sense of rotation."""
    values: NDArray[np.floating] = view.astype(np.float32)
    if name == "rotation":
        values = rotated(view.astype(np.float32), amount if rng.random() < 0.5 else -amount)
    elif name == "blur":
        values = np.asarray(ndimage.gaussian_filter(values, (amount, amount, 0)))
    elif name == "noise":
        values = values + rng.normal(0, amount, view.shape)
    else:
        values = values * amount
    return as_view(values)


def rotated(values: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Rotated about the centre at the same size, edges repeated."""
    return np.asarray(
        ndimage.rotate(values, degrees, reshape=False, order=1, mode="nearest"), np.float32
    )


def mirrored(view: View, defect: Mask, rng: np.random.Generator) -> tuple[View, Mask]:
    """The view and its defect's mask, upside down and left for right by two coins."""
    rows, columns = (slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(2))
    return view[rows, columns], defect[rows, columns]


def classically_augmented(view: View, defect: Mask, rng: np.random.Generator) -> tuple[View, Mask]:
    """One random variant of a view, of the same label, with its defect's mask moved alike."""
    mask = defect.astype(np.float32)[..., None]
    values = np.concatenate([view.astype(np.float32), mask], axis=2)
    if rng.random() < 0.5:
        values = rotated(values, float(rng.uniform(-6, 6)))
    height, width = view.shape[:2]
    shift = (int(rng.integers(-height // 16, height // 16 + 1)),
             int(rng.integers(-width // 16, width // 16 + 1)))  # fmt: skip
    values = shifted(values, *shift)
    grey, moved = values[..., :3], values[..., 3] > 0.5
    mean = grey.mean()
    grey = (grey - mean) * rng.uniform(0.85, 1.15) + mean * rng.uniform(0.85, 1.15)
    return as_view(grey + rng.normal(0, rng.uniform(0, 3), view.shape)), moved


def shifted(values: NDArray[np.float32], down: int, right: int) -> NDArray[np.float32]:
    """Moved by whole pixels, edges repeated."""
    height, width = values.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return values[np.ix_(rows, columns)]


def as_view(values: NDArray[np.floating]) -> View:
    """Grey levels rounded and clipped to 0-255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
