"""The device batch: bounded by memory, by the cap, on a CPU by latents; a power of two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.memory_budget import (
    InpainterSize,
    SegmenterSize,
    device_batch,
    painting_bytes,
    vram_budget,
)

SD15 = InpainterSize(
    parameters=1_066_235_307, unet_width=320, decoder_width=256, latent_px=64, window_px=512
)
TINY = InpainterSize(
    parameters=8_500_000, unet_width=64, decoder_width=48, latent_px=16, window_px=64
)
VIT_B = SegmenterSize(parameters=93_735_472, heads=12, tokens=4096)
VIT_H = SegmenterSize(parameters=641_090_608, heads=16, tokens=4096)
CLIP = 151_277_313


@given(st.integers(0, 2**40))
def test_the_batch_fits_in_free_memory_or_is_one(free):
    batch = device_batch(SD15, "cuda", 2, free)
    assert batch in {1, 2, 4, 8}
    assert batch == 1 or batch * painting_bytes(SD15, 2) <= free
    assert batch == 8 or 2 * batch * painting_bytes(SD15, 2) > free


@pytest.mark.parametrize(("size", "batch"), [(SD15, 1), (TINY, 16)])
def test_a_cpu_paints_no_more_at_once_than_keeps_it_busy(size, batch):
    assert device_batch(size, "cpu", 2, 2**40) == batch


def test_sd15_paints_within_six_gigabytes_and_sam_h_does_not_fit_there():
    small, large = vram_budget(SD15, VIT_B, CLIP), vram_budget(SD15, VIT_H, CLIP)
    assert small.while_painting < 6e9
    assert max(small.while_painting, small.while_segmenting) < 6 * 2**30
    assert large.while_segmenting > 8 * 2**30
    assert "GiB while painting" in small.in_words
