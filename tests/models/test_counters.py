"""Energy counters against files and a driver made by hand: wraps, rights, power integrated."""

import sys
from types import SimpleNamespace

import pytest

from tasks.models.counters import NvmlCounter, RaplCounter, open_counters


def zone(root, name: str, label: str, energy: int, full: int = 1_000_000):
    folder = root / name
    folder.mkdir()
    for file, value in (("name", label), ("energy_uj", energy), ("max_energy_range_uj", full)):
        (folder / file).write_text(f"{value}\n")
    return folder


def test_rapl_adds_packages_and_memory_and_not_what_lies_within(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 100)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 100)
    counter = RaplCounter.open(tmp_path)
    for folder, value in ((package, 600_100), (memory, 200_100), (core, 500_100)):
        (folder / "energy_uj").write_text(str(value))
    assert counter.joules() == pytest.approx(0.8)


def test_rapl_survives_its_wrap_around(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    counter = RaplCounter.open(tmp_path)
    for value, total in ((100_000, 0.2), (150_000, 0.25), (50_000, 1.15)):
        (package / "energy_uj").write_text(str(value))
        assert counter.joules() == pytest.approx(total)


def test_without_files_or_rights_there_is_no_counter(tmp_path):
    assert RaplCounter.open(tmp_path / "none") is None
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (package / "energy_uj").unlink()
    (package / "energy_uj").mkdir()  # unreadable for everybody, root too
    assert RaplCounter.open(tmp_path) is None


class Driver:
    """As much of pynvml as is asked."""

    class NVMLError(Exception):
        pass

    def __init__(self, energy_mj=None, watts=(50,)):
        self.energy_mj, self.watts = energy_mj, list(watts)

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        if uuid != "GPU-1":
            raise self.NVMLError("not found")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if self.energy_mj is None:
            raise self.NVMLError("not supported")
        return self.energy_mj

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        return self.watts.pop(0) * 1000


def test_nvml_counts_from_its_opening(monkeypatch):
    driver = Driver(energy_mj=7_000)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    counter = NvmlCounter.open("GPU-1")
    driver.energy_mj = 19_500
    assert counter.joules() == 12.5
    assert NvmlCounter.open("GPU-2") is None


def test_an_old_gpus_power_is_integrated(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Driver(watts=(50, 100, 100)))
    times = iter([0.0, 0.0, 2.0, 5.0])
    counter = NvmlCounter.open("GPU-1", clock=lambda: next(times))
    assert counter.joules() == pytest.approx(150)
    assert counter.joules() == pytest.approx(450)


def test_work_on_a_gpu_is_not_measured_by_the_cpu_alone(monkeypatch):
    here = SimpleNamespace(name="cpu", joules=lambda: 1.0)
    monkeypatch.setattr(RaplCounter, "open", lambda: here)
    monkeypatch.setattr(NvmlCounter, "open", lambda: None)
    assert open_counters("cuda") == []
    assert open_counters("cpu") == [here]
