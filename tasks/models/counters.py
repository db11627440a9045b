"""Energy counters of this machine: NVML for a GPU, RAPL for the CPU; joules that only rise.

RAPL's registers wrap around at `max_energy_range_uj` (some 262 kJ: 44 minutes at 100 W), so they
must be read more often than that. A GPU older than Volta has no energy counter: its power is
integrated between readings instead.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")


class Counter(Protocol):
    """Something that counts energy."""

    name: str

    def joules(self) -> float:
        """Joules since the counter was opened; never falls."""


class RaplCounter:
    """Packages and memory of all sockets, by the kernel's powercap files."""

    name = "cpu"

    def __init__(self, zones: list[Path]) -> None:
        self._ranges = {zone: _micro(zone / "max_energy_range_uj") for zone in zones}
        self._last = {zone: _micro(zone / "energy_uj") for zone in zones}
        self._total_uj = 0

    @classmethod
    def open(cls, root: Path = POWERCAP) -> "RaplCounter | None":
        """The counter, or None where the files are missing or only root may read them."""
        zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _counts(zone)]
        try:
            return cls(zones) if zones else None
        except (OSError, ValueError):
            return None

    def joules(self) -> float:
        """Sum over zones; a register that has fallen has wrapped around once."""
        for zone, last in self._last.items():
            now = _micro(zone / "energy_uj")
            self._total_uj += now - last if now >= last else now - last + self._ranges[zone]
            self._last[zone] = now
        return self._total_uj / 1e6


def _counts(zone: Path) -> bool:
    """Packages, and memory, which no package includes; cores and graphics lie within packages."""
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return False
    return name.startswith("package") or name == "dram"


def _micro(path: Path) -> int:
    return int(path.read_text())


class NvmlCounter:
    """One GPU, by its own energy counter, else by its power integrated over time."""

    name = "gpu"

    def __init__(self, nvml: Any, handle: Any, clock: Callable[[], float]) -> None:
        self._nvml, self._handle, self._clock = nvml, handle, clock
        self._power_j, self._last = 0.0, (clock(), 0.0)
        self._begin_mj: int | None = None
        try:
            self._begin_mj = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except nvml.NVMLError:
            self._last = (clock(), self._watts())

    @classmethod
    def open(
        cls, uuid: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> "NvmlCounter | None":
        """The counter of the GPU torch computes on, or None without driver or `nvidia-ml-py`."""
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid or _uuid_of_torch())
            return cls(pynvml, handle, clock)
        except pynvml.NVMLError:
            return None

    def joules(self) -> float:
        """Joules since it was opened."""
        if self._begin_mj is not None:
            now: int = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
            return (now - self._begin_mj) / 1e3
        before, watts_before = self._last
        self._last = (self._clock(), self._watts())
        self._power_j += (self._last[0] - before) * (watts_before + self._last[1]) / 2
        return self._power_j

    def _watts(self) -> float:
        return float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)) / 1e3


def _uuid_of_torch() -> str:
    """NVML numbers GPUs in its own order, whatever CUDA_VISIBLE_DEVICES says: go by the UUID."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"


def open_counters(device: str) -> list[Counter]:
    """The counters that can be read on this machine, for work on `cpu` or `cuda`.

    Without the GPU's, work on `cuda` has none: the CPU's alone would miss most of it.
    """
    cpu = RaplCounter.open()
    found: list[Counter] = [] if cpu is None else [cpu]
    if device != "cuda":
        return found
    gpu = NvmlCounter.open()
    return [] if gpu is None else [gpu, *found]
