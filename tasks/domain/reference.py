"""The real images of a run as references: every calibrated distance, and the KO probe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.calibration import Metric, Quantiles, Reference
from tasks.domain.probe import KoProbe, defect_windows

Arrays = Mapping[str, NDArray[Any]]
ZONE_METRICS: dict[str, Metric] = {
    "lbp": "l1_mean",
    "gradient": "euclidean",
    "colour": "l1_mean",
}
IMAGE_METRICS: dict[str, Metric] = {"quantiles": "l1_mean", "border": "euclidean"}


@dataclass(frozen=True)
class RealReference:
    """Calibrated references by name, the novelty quantiles, the KO probe, and residuals of zones.

    `spreads` holds the quantiles of what is a distance in itself: `seam`, `speckle` (1 minus the
    continuity), `novelty`, each real window's cosine distance to its nearest window of another
    source, and `company`, the same among the windows that a defect belongs with.
    """

    references: dict[str, Reference]
    spreads: dict[str, Quantiles]
    probe: KoProbe
    windows: NDArray[np.float32]
    is_company: NDArray[np.bool_]
    residuals: NDArray[np.float32]
    sources: NDArray[np.str_]

    @classmethod
    def fit(cls, described: Arrays, min_ko: int) -> "RealReference":
        """Calibrate on the arrays of `describe_batch`, all batches concatenated.

        Raises:
            BadInput: fewer than 4 real images with a bead.
        """
        references = {
            name: Reference.fit(described[f"zone_{name}"], described["zone_source"], metric)
            for name, metric in ZONE_METRICS.items()
        } | {
            name: Reference.fit(described[f"image_{name}"], described["image_source"], metric)
            for name, metric in IMAGE_METRICS.items()
        }
        windows, sources = described["zone_embedding"], described["zone_source"]
        company = _company(described, min_ko)
        return cls(
            references=references,
            spreads={
                "seam": Quantiles.of(described["zone_seam"].ravel()),
                "speckle": Quantiles.of(1 - described["zone_continuity"].ravel()),
                "novelty": Quantiles.of(nearest_other_distance(windows, sources)),
                "company": Quantiles.of(nearest_other_distance(windows[company], sources[company])),
            },
            probe=fitted_probe(described, min_ko),
            windows=windows,
            is_company=company,
            residuals=described["zone_residual"],
            sources=sources,
        )

    def distance_to_company(
        self, rows: NDArray[np.float32], sources: NDArray[np.str_]
    ) -> NDArray[np.float32]:
        """Cosine distance of each unit row to the nearest real window a defect belongs with."""
        company, owners = self.windows[self.is_company], self.sources[self.is_company]
        cosine = rows @ company.T
        cosine[sources[:, None] == owners[None, :]] = -1.0
        return np.asarray(1.0 - cosine.max(axis=1), dtype=np.float32)

    def calibration(self) -> dict[str, dict[str, float]]:
        """The quantiles of every reference, to be stored with the run."""
        named = {name: ref.quantiles for name, ref in self.references.items()} | self.spreads
        return {name: quantiles.model_dump() for name, quantiles in named.items()}


def _company(described: Arrays, min_ko: int) -> NDArray[np.bool_]:
    """The real windows that show a defect, one a KO image; all windows with too few KO images."""
    is_ko = described["zone_label"] == "KO"
    windows, sources = described["zone_embedding"], described["zone_source"]
    if len(set(sources[is_ko].tolist())) < min_ko:
        return np.ones(len(windows), dtype=bool)
    company = np.zeros(len(windows), dtype=bool)
    picks = defect_windows(windows[is_ko], sources[is_ko], windows[~is_ko])
    company[np.flatnonzero(is_ko)[picks]] = True
    return company


def nearest_other_distance(
    rows: NDArray[np.float32], groups: NDArray[np.str_], block: int = 1024
) -> NDArray[np.float32]:
    """Cosine distance of each unit row to the nearest row of another group, (n,)."""
    nearest = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        cosine = rows[part] @ rows.T
        cosine[groups[part, None] == groups[None, :]] = -1.0
        nearest[part] = 1.0 - cosine.max(axis=1)
    return nearest


def fitted_probe(described: Arrays, min_ko: int) -> KoProbe:
    """The KO probe on the real windows; a KO image lends the window least like the sound ones."""
    is_ko = described["zone_label"] == "KO"
    windows, sources = described["zone_embedding"], described["zone_source"]
    sound, sound_sources = windows[~is_ko], sources[~is_ko]
    defective = windows[is_ko]
    if len(defective):
        defective = defective[defect_windows(defective, sources[is_ko], sound)]
    return KoProbe.fit(sound, defective, sound_sources, min_ko)
