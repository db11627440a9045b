"""Frame: where the detector's view lies in each image, from the bead that was found."""

from collections.abc import Sequence

from tasks.domain.records import Bead, RunContext
from tasks.domain.view import WHOLE, Frame, frame_of
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(version=1, run_name="frame {beads[0].source_id:.8} +")
def frame_batch(beads: Sequence[Bead], context: RunContext) -> list[Frame]:
    """The frame about each bead; the whole image where the bead is all of it."""
    store = ContentStore(context.store_uri)
    frames = []
    for bead in beads:
        mask = store.get_mask(bead.mask)
        frames.append(WHOLE if mask.all() else frame_of(mask))
    return frames
