"""Where models run and in what precision: fp16 on CUDA, bf16 on a CPU that has it, else fp32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from tasks.domain.errors import BadParameters

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda"]


def resolve_device(name: str) -> str:
    """`cuda` or `cpu`; `auto` takes CUDA where there is one.

    Raises:
        BadParameters: `cuda` was asked for and there is none.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise BadParameters("Expected a CUDA device, but torch sees none; use device='cpu'")
    return "cuda" if name != "cpu" and has_cuda else "cpu"


def half_precision(device: str) -> "torch.dtype":
    """The fastest dtype that the device computes in natively."""
    import torch

    if device == "cuda":
        return torch.float16
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_bf16 else torch.float32


def hardware_name(device: str) -> str:
    """The GPU's name, or the widest instructions that torch uses on this CPU."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    return torch.backends.cpu.get_cpu_capability()


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On a CPU, what this thread computes in the block, it computes alone; others as before.

    torch.set_num_threads would hold for every thread that begins later, and so for how a run after
    this one in the process rounds.
    """
    import torch
    from threadpoolctl import threadpool_limits

    if device != "cpu":
        yield
        return
    torch.get_num_threads()  # a thread takes torch's number at its first call, and then ours
    with threadpool_limits(1, user_api="openmp"):
        yield


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory ran out, on a GPU or on the host."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
