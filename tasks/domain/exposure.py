"""Exposure: what a detector sees in training, equal in all arms but for what an arm adds.

Every batch of B holds k = round(B ko_share) KO exposures in every arm. Of a share s of synthetic
exposures, a part q is placebos (OK) and the rest KO, q being the placebos' share of the arm's
synthetic images; they take the places of real ones, so that neither the number of steps nor the
number of KO exposures differs between arms. (The peer that found synthetic images harmful showed
769 of them to 14 real ones in a pass.)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.records import Record


class Exposure(Record):
    """Exposures of a training by where they come from."""

    ok_real: int
    ko_real: int
    ko_synthetic: int
    ok_placebo: int

    @property
    def total(self) -> int:
        """All exposures."""
        return self.ok_real + self.ko_real + self.ko_synthetic + self.ok_placebo


@dataclass(frozen=True)
class Mix:
    """Exposures a batch, as means: real OK and KO, synthetic KO, placebos."""

    ok_real: float
    ko_real: float
    ko_synthetic: float
    ok_placebo: float


def mix_of(share: float, batch_size: int, ko_share: float, placebo_part: float) -> Mix:
    """Mean exposures a batch.

    Args:
        share: of synthetic exposures among all, in [0, 1).
        batch_size: exposures a step.
        ko_share: of KO exposures among all.
        placebo_part: of placebos among the arm's synthetic images, in [0, 1].

    Raises:
        BadParameters: the share is out of range, or asks for more places than a class has.
    """
    if not 0 <= share < 1:
        raise BadParameters(f"Expected a share of synthetic images in [0, 1), but got {share}")
    ko = batch_size * ko_share
    synthetic = batch_size * share
    placebo = min(synthetic * placebo_part, batch_size - ko)
    defects = synthetic - placebo
    if defects > ko + 1e-9:
        raise BadParameters(
            f"Expected at most {ko:.1f} synthetic defects a batch of {batch_size}, but a share of "
            f"{share} asks for {defects:.1f}; raise ko_share or lower the share"
        )
    return Mix(batch_size - ko - placebo, ko - defects, defects, placebo)


def drawn(
    mix: Mix, steps: int, counts: Exposure, rng: np.random.Generator
) -> Iterator[dict[str, NDArray[np.int64]]]:
    """Which images each step shows: by origin, indices into that origin's images.

    Fractions are carried from step to step, so that totals are exact to one exposure; each origin
    is shown in shuffled rounds, so that no image is shown two times more than another.

    Args:
        mix: mean exposures a step.
        steps: how many.
        counts: images there are of each origin.
        rng: decides every order.

    Raises:
        BadInput: the mix asks for an origin that has no image.
    """
    names = list(Exposure.model_fields)
    missing = [n for n in names if getattr(mix, n) > 0 and getattr(counts, n) == 0]
    if missing:
        raise BadInput(f"Expected images of {', '.join(missing)} to train on, but there are none")
    rounds = {name: _Rounds(getattr(counts, name), rng) for name in names}
    carried = [names.index("ok_placebo"), names.index("ko_synthetic")]
    batch, ko = _whole(mix)
    for step in range(steps):
        placebo, defects = (
            math.floor((step + 1) * getattr(mix, names[i]) + 1e-6)
            - math.floor(step * getattr(mix, names[i]) + 1e-6)
            for i in carried
        )
        defects, placebo = min(defects, ko), min(placebo, batch - ko)
        wanted = {"ok_real": batch - ko - placebo, "ko_real": ko - defects,
                  "ko_synthetic": defects, "ok_placebo": placebo}  # fmt: skip
        yield {name: rounds[name].take(number) for name, number in wanted.items()}


def _whole(mix: Mix) -> tuple[int, int]:
    """Batch size and KO exposures a step, whole numbers."""
    ko = mix.ko_real + mix.ko_synthetic
    return round(ko + mix.ok_real + mix.ok_placebo), round(ko)


class _Rounds:
    """Indices 0..n-1 in shuffled rounds, without end."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self._n, self._rng = n, rng
        self._left = np.zeros(0, dtype=np.int64)

    def take(self, number: int) -> NDArray[np.int64]:
        """The next indices."""
        while len(self._left) < number:
            self._left = np.concatenate([self._left, self._rng.permutation(self._n)])
        taken, self._left = self._left[:number], self._left[number:]
        return taken
