"""Recognition: the nearest of many blocks, and the nearer of made and real decides."""

import numpy as np

from tasks.domain.leakage import SIDE_PX
from tasks.domain.recognition import Nearest


def structures(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, SIDE_PX**2)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def mixed(row: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    both = np.sqrt(1 - share**2) * row + share * other
    return both / np.linalg.norm(both)


def test_the_nearest_is_found_whatever_block_it_stands_in():
    rows = structures(4, 0)
    known = np.concatenate([structures(6, 1), rows[2:3], rows[:1]])
    names = [f"n{i}" for i in range(8)]
    whole, parts = Nearest(rows), Nearest(rows)
    whole.see(names, known)
    for start in range(0, 8, 3):
        parts.see(names[start : start + 3], known[start : start + 3])
    assert parts.names == whole.names
    assert (whole.names[0], whole.names[2]) == ("n7", "n6")
    assert np.allclose(parts.similarity, whole.similarity)


def test_an_edit_is_recognised_and_its_source_is_not():
    source, noise = structures(2, 3)
    edit = mixed(source, noise, 0.2)  # alike enough to be a near-duplicate of its own source
    asked = np.stack([mixed(edit, structures(1, 4)[0], 0.05), mixed(source, noise, 0.01)])
    made, real = Nearest(asked), Nearest(asked)
    made.see(["edit"], edit[None])
    real.see(["source"], source[None])
    assert (made.similarity > 0.95).all()
    assert made.nearer_than(real, 0.9) == {0: "edit"}
    assert made.nearer_than(Nearest(asked), 0.9999) == {}
