"""Source rows: the real images of a run as the pool keeps them, with how they look."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.pose import defect_pose
from tasks.domain.probe import defect_windows
from tasks.domain.records import Ref, Source
from tasks.grown import Settled
from tasks.judge import concatenated
from tasks.store.files import ContentStore
from tasks.store.rows import SourceRow


def source_rows(store: ContentStore, settled: Settled, side_px: int) -> Iterator[SourceRow]:
    """A row a source, read from the store one by one.

    Args:
        settled: the run.
        side_px: of an edit's window.
    """
    windows = window_of_each(store, settled.described)
    for source in settled.sources:
        angle, share = _pose(store, settled, source, side_px)
        yield SourceRow(
            id=source.id,
            uri=source.uri,
            label=source.label,
            kind=source.kind,
            bytes=store.get(source.image),
            embedding=windows[source.id],
            defect_angle_deg=angle,
            defect_share=share,
        )


def window_of_each(store: ContentStore, described: Sequence[Ref]) -> dict[str, NDArray[np.float32]]:
    """One window's embedding a source: of a KO image the one least like sound, else the first.

    Where a bead had no room for a zone, the embedding of the whole image.
    """
    if not described:
        return {}
    arrays = concatenated(store, described)
    rows: NDArray[np.float32] = arrays["zone_embedding"].astype(np.float32)
    owners, is_ko = arrays["zone_source"].astype(np.str_), arrays["zone_label"] == "KO"
    found = dict(zip(arrays["image_source"].tolist(), arrays["image_embedding"], strict=True))
    names, first = np.unique(owners, return_index=True)
    found |= dict(zip(names.tolist(), rows[first], strict=True))
    if is_ko.any() and not is_ko.all():
        picks = np.flatnonzero(is_ko)[defect_windows(rows[is_ko], owners[is_ko], rows[~is_ko])]
        found |= dict(zip(owners[picks].tolist(), rows[picks], strict=True))
    return found


def _pose(
    store: ContentStore, settled: Settled, source: Source, side_px: int
) -> tuple[float | None, float | None]:
    """Angle and share of a source's defect, None where they are not known."""
    if source.defect is None:
        return None, None
    bead = store.get_mask(settled.beads[source.id].mask)
    pose = defect_pose(store.get_mask(source.defect), bead, side_px)
    angle, share = (float(value) if np.isfinite(value) else None for value in pose)
    return angle, share
