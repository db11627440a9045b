"""A source's pixels from the store, in its own depth and as the 8-bit view models see."""

import numpy as np
from numpy.typing import NDArray

from tasks.domain.images import Pixels, display_rgb
from tasks.domain.records import Ref, Source
from tasks.store.files import ContentStore
from tasks.store.images import archived_pixels


def image_pixels(store: ContentStore, image: Ref) -> Pixels:
    """The pixels of a real image's bytes as ingested; bounds were checked there."""
    return archived_pixels(store.get(image))


def source_pixels(store: ContentStore, source: Source) -> Pixels:
    """The pixels of a source."""
    return image_pixels(store, source.image)


def source_view(store: ContentStore, source: Source) -> NDArray[np.uint8]:
    """The (H, W, 3) uint8 view."""
    pixels = source_pixels(store, source)
    return display_rgb(pixels)
