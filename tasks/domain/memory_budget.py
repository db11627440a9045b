"""Memory that painting and segmenting need, reckoned from the models' dimensions.

What must live at once at the widest point of a forward pass, counted operation by operation on the
full-size models (tests/models/test_memory.py counts again):

    UNet      26 c l^2 numbers an image, two images a candidate (with the prompt and without)
    decoder    3 w s^2 numbers a candidate
    SAM        3 h t^2 float32 (scores, scores with relative positions, weights)

with c the UNet's first width, l the latents' side, w the autoencoder's second width, s the window's
side, h SAM's heads and t = (1024/16)^2 its tokens. Attention of the UNet is fused: its scores are
never held. Libraries take work space beyond that: WORKSPACE times as much is set aside.
"""

from pydantic import BaseModel, ConfigDict

UNET_TENSORS, DECODER_TENSORS, SAM_TENSORS = 26, 3, 3
WORKSPACE = 1.5
CONTEXT_BYTES = 500_000_000  # CUDA's own, before any model
CPU_LATENTS = 64 * 64  # a CPU is busy with so many latents: more at once gain nothing
LARGEST_BATCH = {"cpu": 16, "cuda": 8}


class InpainterSize(BaseModel):
    """What decides how much memory an inpainter needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int
    unet_width: int
    decoder_width: int
    latent_px: int
    window_px: int


class SegmenterSize(BaseModel):
    """What decides how much memory a segmenter needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int
    heads: int
    tokens: int


def painting_bytes(size: InpainterSize, number_bytes: int) -> int:
    """Bytes that painting one more window takes, beside the weights."""
    unet = 2 * UNET_TENSORS * size.unet_width * size.latent_px**2
    decoder = DECODER_TENSORS * size.decoder_width * size.window_px**2
    return round(WORKSPACE * max(unet, decoder) * number_bytes)


def segmenting_bytes(size: SegmenterSize) -> int:
    """Bytes that looking at an image takes, beside the weights; float32."""
    return SAM_TENSORS * size.heads * size.tokens**2 * 4


def device_batch(size: InpainterSize, device: str, number_bytes: int, free_bytes: int) -> int:
    """Windows painted at once, a power of two: what fits beside the loaded weights, at least 1.

    A CPU takes no more than CPU_LATENTS: it would gain nothing, and pay for the padding.
    """
    fitting = free_bytes // painting_bytes(size, number_bytes)
    largest = LARGEST_BATCH[device]
    if device == "cpu":
        largest = min(largest, CPU_LATENTS // size.latent_px**2)
    return 1 << (max(1, min(largest, fitting)).bit_length() - 1)


class VramBudget(BaseModel):
    """What a model set needs of a GPU at batch 1, in bytes; reckoned, not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: int
    painting: int
    segmenting: int
    context: int = CONTEXT_BYTES

    @property
    def while_painting(self) -> int:
        """All weights resident, one window being painted."""
        return self.context + self.weights + self.painting

    @property
    def while_segmenting(self) -> int:
        """All weights resident, one image being segmented."""
        return self.context + self.weights + self.segmenting

    @property
    def in_words(self) -> str:
        """For a person, in GiB as graphics cards are sold."""
        painting, segmenting, weights = (
            bytes_ / 2**30 for bytes_ in (self.while_painting, self.while_segmenting, self.weights)
        )
        return (
            f"{painting:.1f} GiB while painting, {segmenting:.1f} while segmenting "
            f"(weights {weights:.1f})"
        )


def vram_budget(
    inpainter: InpainterSize, segmenter: SegmenterSize, embedder_parameters: int
) -> VramBudget:
    """One copy of each model resident: the inpainter in half precision, the others in float32."""
    in_float32 = segmenter.parameters + embedder_parameters
    return VramBudget(
        weights=2 * inpainter.parameters + 4 * in_float32,
        painting=painting_bytes(inpainter, 2),
        segmenting=segmenting_bytes(segmenter),
    )
