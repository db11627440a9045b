"""The meter: what each stage execution used of this machine.

Every interval in which k stages run at once is divided by k, time and joules alike, so that their
sum is what was used and no more. It sees this process alone; the counters see the whole machine:
what else runs on it is counted too.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from tasks.domain.energy import StageCost
from tasks.models.counters import Counter, open_counters

POLL_S = 1.0  # often enough for RAPL's wrap-around, and to integrate a GPU's power


@dataclass(eq=False)
class Running:
    """A stage that is being executed: its start, and its shares so far."""

    stage: str
    started_s: float
    share_s: float = 0.0
    joules: dict[str, float] = field(default_factory=dict)


class Meter:
    """Divides time and counted joules among the stages that are running."""

    def __init__(
        self, counters: Sequence[Counter], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._counters, self._clock = list(counters), clock
        self._lock = threading.Lock()
        self._running: list[Running] = []
        self._last_s, self._total = clock(), {one.name: one.joules() for one in self._counters}
        self._is_polled = False

    def start(self, stage: str) -> Running:
        """A stage begins."""
        with self._lock:
            self._advance()
            one = Running(stage, self._last_s, 0.0, dict.fromkeys(self._total, 0.0))
            self._running.append(one)
            if not self._is_polled and self._counters:
                self._is_polled = True
                threading.Thread(target=self._poll, daemon=True, name="energy").start()
        return one

    def stop(self, one: Running) -> StageCost:
        """It has ended; what it used."""
        with self._lock:
            self._advance()
            self._running.remove(one)
            return StageCost(
                stage=one.stage,
                seconds=self._last_s - one.started_s,
                share_s=one.share_s,
                joules=one.joules,
            )

    def totals(self) -> tuple[float, dict[str, float]]:
        """The clock, and joules of every counter since it was opened."""
        with self._lock:
            self._advance()
            return self._last_s, dict(self._total)

    def _advance(self) -> None:
        """Charge the interval since the last look to those who run; an idle one to nobody."""
        now_s = self._clock()
        elapsed, self._last_s = now_s - self._last_s, now_s
        for one in self._running:
            one.share_s += elapsed / len(self._running)
        for counter in self._counters:
            with suppress(OSError):  # a counter that fails once is read again at the next look
                joules = counter.joules()
                used, self._total[counter.name] = joules - self._total[counter.name], joules
                for one in self._running:
                    one.joules[counter.name] += used / len(self._running)

    def _poll(self) -> None:
        while True:
            time.sleep(POLL_S)
            with self._lock:
                self._advance()
                if not self._running:
                    self._is_polled = False
                    return


@lru_cache(maxsize=2)
def meter_for(device: str) -> Meter:
    """This process's meter for work on `cpu` or `cuda`."""
    return Meter(open_counters(device))


def whereabouts() -> dict[str, str | int | float]:
    """Machine, process and time of day, as a cost is marked with."""
    return {"machine": socket.gethostname(), "process": os.getpid(), "ended_s": time.time()}
