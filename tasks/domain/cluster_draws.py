"""How often a bootstrap draws each row when whole sources are drawn with replacement.

t ~ Multinomial(g, 1/g) over the g sources; every row counts as often as its source was drawn
(Field & Welsh, JRSS B 2007: rows of a source are not independent, so it is drawn whole). Sets of
rows drawn together share t: what a source makes hard for all of them cancels in their difference.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.domain.errors import BadInput, BadParameters

Times = npt.NDArray[np.float64]


def cluster_draws(draws: int, seed: int, *groups: npt.NDArray[Any]) -> tuple[Times, ...]:
    """Times that each row is drawn, in each set of rows.

    Args:
        draws: resamples, 1 or more.
        seed: decides the draws.
        groups: (n_i,) source of each row, one array a set; equal names are one source, in whatever
            set they stand.

    Returns:
        (draws, n_i) whole numbers as float64, one array a set. A draw may leave a set without rows.

    Raises:
        BadInput: there is no row in any set.
        BadParameters: fewer than 1 draw.
    """
    if draws < 1:
        raise BadParameters(f"Expected 1 draw or more, but got {draws}")
    names = [np.asarray(one, dtype=np.str_) for one in groups]
    total = sum(len(one) for one in names)
    if not total:
        raise BadInput("Expected rows to draw from, but got none")
    _, place = np.unique(np.concatenate(names), return_inverse=True)
    count = int(place.max()) + 1
    rng = np.random.default_rng((seed, 23))
    times = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    ends = np.cumsum([len(one) for one in names])[:-1]
    return tuple(times[:, part] for part in np.split(place, ends))
