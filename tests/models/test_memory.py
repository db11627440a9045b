"""The memory reckoned is the memory counted: every operation of a full-size forward pass, no GPU.

Tensors are fake (shapes without numbers); what lives at once is what a GPU would hold, but for its
libraries' own work space.
"""

import weakref

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from segment_anything import sam_model_registry
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tasks.domain.errors import TransientError
from tasks.domain.memory_budget import (
    DECODER_TENSORS,
    UNET_TENSORS,
    WORKSPACE,
    InpainterSize,
    SegmenterSize,
    painting_bytes,
    segmenting_bytes,
)
from tasks.models import memory
from tasks.models.inpainter import Inpainter, PaintJob, load_pipeline
from tasks.models.model_set import BUNDLED
from tasks.models.single_file import CONFIG

SD15 = InpainterSize(
    parameters=0, unet_width=320, decoder_width=256, latent_px=64, window_px=512
)  # fmt: skip


class Living(TorchDispatchMode):
    """Bytes of the tensors that live at once, at most; those of the weights do not count."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self._sizes: dict[int, int] = {}
        self._weights = {p.untyped_storage()._cdata for p in model.parameters()}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, torch.Tensor):
                self._take(one.untyped_storage())
        return result

    def _take(self, storage) -> None:
        key = storage._cdata
        if key in self._sizes or key in self._weights:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def _peak(build, call) -> int:
    with FakeTensorMode(), torch.no_grad():
        model = build().eval()
        with Living(model) as living:
            call(model)
    return living.peak


@pytest.fixture
def _half():
    torch.set_default_dtype(torch.float16)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.usefixtures("_half")
@pytest.mark.parametrize("images", [1, 2])
def test_painting_takes_what_the_formula_says(images):
    def denoise(unet):
        words = torch.empty(2 * images, 77, 768)
        unet(torch.empty(2 * images, 9, 64, 64), torch.tensor(1.0), words)

    unet = _peak(
        lambda: UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(CONFIG / "unet")),
        denoise,
    )
    decoder = _peak(
        lambda: AutoencoderKL.from_config(AutoencoderKL.load_config(CONFIG / "vae")),
        lambda vae: vae.decode(torch.empty(images, 4, 64, 64)),
    )
    assert unet == pytest.approx(images * 2 * UNET_TENSORS * 320 * 64**2 * 2, rel=0.05)
    assert decoder == pytest.approx(images * DECODER_TENSORS * 256 * 512**2 * 2, rel=0.05)
    assert max(unet, decoder) == pytest.approx(
        images * painting_bytes(SD15, 2) / WORKSPACE, rel=0.05
    )


@pytest.mark.slow
def test_segmenting_takes_what_the_formula_says():
    found = _peak(
        sam_model_registry["vit_b"], lambda sam: sam.image_encoder(torch.empty(1, 3, 1024, 1024))
    )
    assert found == pytest.approx(
        segmenting_bytes(SegmenterSize(parameters=0, heads=12, tokens=4096)), rel=0.1
    )


def test_a_full_gpu_is_said_and_an_emptier_one_takes_larger_batches(monkeypatch):
    pipeline = load_pipeline(BUNDLED["tiny"] / "inpainter", torch.float16)
    size = memory.inpainter_size(pipeline)
    window = painting_bytes(size, 2)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 2 * size.parameters + window - 1)
    with pytest.raises(TransientError, match="free on the GPU for the inpainter"):
        memory.require_room(pipeline, "cuda", torch.float16)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 2 * size.parameters + window)
    memory.require_room(pipeline, "cuda", torch.float16)
    for windows, batch in ((1, 1), (3, 2), (4, 4), (100, 8)):
        monkeypatch.setattr(memory, "free_bytes", lambda _, n=windows: n * window)
        assert memory.chosen_batch(pipeline, "cuda", torch.float16) == batch


def test_no_room_for_one_window_is_a_failure_that_a_stage_tries_again(monkeypatch):
    model = Inpainter.load(BUNDLED["tiny"] / "inpainter", "cpu", full_precision=True)
    model.device, model.device_batch = "cuda", 4
    asked = []

    def full(jobs):
        asked.append(model.device_batch)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "_paint_batch", full)
    side = model.native_px
    window, region = np.zeros((side, side, 3), np.uint8), np.ones((side, side), bool)
    with pytest.raises(TransientError, match="but the GPU is full; end what else") as caught:
        model.paint([PaintJob(window, region, "a crack", "", 1, 0.3, 3.0, 8)])
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert asked == [4, 2, 1]
