"""What a machine can do and what else it was doing: so that a measured time can be judged.

Where others compute beside it, a process waits; the seconds of its own cores, divided by its
threads, tell what it would have taken alone (with OMP_WAIT_POLICY=PASSIVE, so that none spins).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """Seconds that passed, seconds that cores computed for this process and its children, and the
    share of all cores that others took meanwhile."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    others: float = 0.0


@contextmanager
def watched() -> Iterator[Watch]:
    """Time a block."""
    watch = Watch()
    started, busy, own = time.perf_counter(), _busy_s(), _own_s()
    yield watch
    watch.seconds = time.perf_counter() - started
    watch.cpu_s = _own_s() - own
    taken = _busy_s() - busy - watch.cpu_s
    watch.others = max(0.0, taken / watch.seconds / (os.cpu_count() or 1))


def computing_s() -> float:
    """Seconds that this process has computed on all its threads at once."""
    return time.process_time() / torch.get_num_threads()


def product_peak(dtype: torch.dtype, side: int = 2048, tries: int = 12) -> float:
    """GFLOP/s of a square matrix product on all threads, the best of some tries."""
    a, best = torch.randn(side, side).to(dtype), float("inf")
    with torch.inference_mode():
        for _ in range(tries):
            started = computing_s()
            a @ a
            best = min(best, computing_s() - started)
    return 2 * side**3 / best / 1e9


def _busy_s() -> float:
    """Seconds that all cores have computed since the machine began."""
    ticks = [int(one) for one in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS_S


def _own_s() -> float:
    """Of this process and its children, those that have ended included."""
    ended, found = os.times(), 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found += times.user + times.system
    return found + ended.children_user + ended.children_system
