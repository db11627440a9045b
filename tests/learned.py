"""What a model set may have learned from: made-up sources with made-up fine structure."""

import numpy as np

from tasks.domain.leakage import SIDE_PX
from tasks.domain.lineage import AdaptationSource


def sources(count: int, mark: str = "s") -> list[AdaptationSource]:
    return [
        AdaptationSource(id=f"{mark}{i}", name=f"{mark}{i}.png", uri="/x", label="KO", kind="crack")
        for i in range(count)
    ]


def rows(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((count, SIDE_PX**2)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)
