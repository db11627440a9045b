"""The meter: what each stage execution used of this machine, and which results a run asked for.

Every interval in which k stages run at once is divided by k, time and joules alike, so that their
sum is what was used and no more. It sees this process alone; the counters see the whole machine:
what else runs on it is counted too.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from tasks.domain.energy import StageCost
from tasks.models.counters import Counter, open_counters

RUNS_KEPT = 64  # of runs that nobody closes, such as trials and failed ones
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


@dataclass
class Asked:
    """A result that a run asked for: its stage and cache key, and its cost if it was computed."""

    stage: str
    key: str
    cost: StageCost | None = None


class Ledger:
    """Which results each flow run of this process has asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, dict[str, Asked]] = {}

    def ask(self, run: str, task_run: str, stage: str, key: str) -> None:
        """A run is about to compute a result, or to take it from the cache."""
        with self._lock:
            self._runs.setdefault(run, {}).setdefault(task_run, Asked(stage, key))
            while len(self._runs) > RUNS_KEPT:
                del self._runs[next(iter(self._runs))]

    def pay(self, run: str, task_run: str, cost: StageCost) -> str | None:
        """It was computed, at this cost; the key it was asked for by."""
        with self._lock:
            asked = self._runs.get(run, {}).get(task_run)
            if asked is None:
                return None
            asked.cost = cost
            return asked.key

    def close(self, run: str) -> list[Asked]:
        """All that a run has asked for; the ledger forgets it."""
        with self._lock:
            return list(self._runs.pop(run, {}).values())


LEDGER = Ledger()


@lru_cache(maxsize=2)
def meter_for(device: str) -> Meter:
    """This process's meter for work on `cpu` or `cuda`."""
    return Meter(open_counters(device))
