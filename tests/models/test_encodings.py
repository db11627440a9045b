"""Encodings are remembered bit for bit, and only where they would come out the same."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from tasks.models.encodings import Encodings
from tasks.models.inpainter import Inpainter, PaintJob
from tasks.models.model_set import BUNDLED


def jobs(windows: list[np.ndarray], seeds: list[int]) -> list[PaintJob]:
    region = np.zeros((64, 64), dtype=bool)
    region[20:40, 16:48] = True
    return [
        PaintJob(window, region, "a crack", "", seed, 0.3, 3.0, 8)
        for window, seed in zip(windows, seeds, strict=True)
    ]


@pytest.fixture
def inpainter() -> Inpainter:
    model = Inpainter.load(BUNDLED["tiny"] / "inpainter", "cpu", full_precision=True)
    model.device_batch = 4
    return model


@pytest.fixture
def windows() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))


def test_a_window_is_encoded_once_for_all_its_candidates(inpainter, windows):
    encodings = inpainter._pipeline.vae.encode
    inpainter.paint(jobs([windows[0], windows[0], windows[1]], [1, 2, 3]))
    assert encodings.asked == 8  # window and masked window, of three jobs and one of padding
    assert encodings.computed == 4
    inpainter.reconstructed([*windows, windows[0]])
    assert encodings.computed == 4


def test_what_is_remembered_is_painted_bit_for_bit(inpainter, windows):
    asked = jobs([windows[0], windows[1], windows[0]], [1, 2, 3])
    remembered = inpainter.paint(asked), inpainter.reconstructed(windows)
    vae = inpainter._pipeline.vae
    vae.encode = Encodings(vae.encode._encode, kept=0)
    anew = inpainter.paint(asked), inpainter.reconstructed(windows)
    assert vae.encode.asked == vae.encode.computed > 0
    for before, after in zip(remembered, anew, strict=True):
        assert np.array_equal(np.stack(before), np.stack(after))


def test_equal_windows_come_back_alike_whoever_comes_along(inpainter, windows):
    one, other, again = inpainter.reconstructed([windows[0], windows[1], windows[0]])
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.array_equal(one, inpainter.reconstructed(windows[:1])[0])


def test_the_oldest_is_forgotten_and_a_gradient_never_stops(windows):
    vae = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8)
    encode = Encodings(vae.encode, kept=1)
    images = [torch.rand(1, 3, 16, 16) for _ in range(2)]
    with torch.inference_mode():
        for image in (images[0], images[0], images[1], images[0]):
            encode(image)
    assert (encode.asked, encode.computed) == (4, 3)
    assert encode(images[0]).latent_dist.mean.requires_grad
    with torch.inference_mode():
        assert encode(torch.cat(images)).latent_dist.mean.shape[0] == 2
    assert (encode.asked, encode.computed) == (4, 3)


def test_another_number_of_threads_is_another_question():
    vae = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8)
    encode, image, before = Encodings(vae.encode), torch.rand(1, 3, 16, 16), torch.get_num_threads()
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                encode(image)
    finally:
        torch.set_num_threads(before)
    assert (encode.asked, encode.computed) == (3, 2)
