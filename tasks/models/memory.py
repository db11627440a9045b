"""How much memory a model set takes and a device has left; the batch is chosen by it."""

import logging
from typing import TYPE_CHECKING, Any

from tasks.domain.errors import TransientError
from tasks.domain.memory_budget import InpainterSize, device_batch, painting_bytes

if TYPE_CHECKING:
    import torch

LOGGER = logging.getLogger(__name__)


def free_bytes(device: str) -> int:
    """Memory that a device has left now."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)


def inpainter_size(pipeline: Any) -> InpainterSize:
    """The dimensions of a loaded pipeline."""
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    latent_px = int(pipeline.unet.config.sample_size)
    return InpainterSize(
        parameters=sum(p.numel() for part in parts for p in part.parameters()),
        unet_width=pipeline.unet.config.block_out_channels[0],
        decoder_width=pipeline.vae.config.block_out_channels[1],
        latent_px=latent_px,
        window_px=latent_px * int(pipeline.vae_scale_factor),
    )


def chosen_batch(pipeline: Any, device: str, dtype: "torch.dtype") -> int:
    """Windows to paint at once on this device as it is now; the log says why."""
    size, free = inpainter_size(pipeline), free_bytes(device)
    batch = device_batch(size, device, dtype.itemsize, free)
    LOGGER.info(
        "%d windows of %d px at once: %.1f GB free on %s", batch, size.window_px, free / 1e9, device
    )
    return batch


def require_room(pipeline: Any, device: str, dtype: "torch.dtype") -> None:
    """Raise a TransientError where a GPU cannot take the weights and one window now."""
    if device != "cuda":
        return
    size = inpainter_size(pipeline)
    needed = size.parameters * dtype.itemsize + painting_bytes(size, dtype.itemsize)
    if (free := free_bytes(device)) < needed:
        raise TransientError(
            f"Expected {needed / 1e9:.1f} GB free on the GPU for the inpainter, but there are "
            f"{free / 1e9:.1f}; end what else uses it, or run with device='cpu'"
        )
