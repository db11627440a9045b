"""The meter: shares of stages at once add up to what was used."""

import pytest

from tasks.domain.energy import StageCost
from tasks.meter import Meter


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Steady:
    """10 W, by the clock."""

    name = "cpu"

    def __init__(self, clock):
        self._clock = clock

    def joules(self):
        return 10 * self._clock.now


def test_stages_at_once_share_time_and_joules_and_idle_time_is_nobodys():
    clock = Clock()
    meter = Meter([Steady(clock)], clock)
    clock.now = 5
    first = meter.start("a")
    clock.now = 7
    second = meter.start("b")
    clock.now = 11
    a = meter.stop(first)
    clock.now = 12
    b = meter.stop(second)
    clock.now = 20
    assert (a.seconds, a.share_s, a.joules["cpu"]) == (6, 4, 40)
    assert (b.seconds, b.share_s, b.joules["cpu"]) == (5, 3, 30)
    assert meter.totals() == (20, {"cpu": 200})
    assert a.share_s + b.share_s == 12 - 5


def test_without_counters_time_alone_is_shared():
    clock = Clock()
    meter = Meter([], clock)
    one = meter.start("a")
    clock.now = 3
    assert meter.stop(one) == StageCost(stage="a", seconds=3, share_s=3, joules={})


def test_a_counter_that_fails_once_loses_nothing():
    clock = Clock()
    counter = Steady(clock)
    meter = Meter([counter], clock)
    one = meter.start("a")
    counter.joules, kept = lambda: (_ for _ in ()).throw(OSError("busy")), counter.joules
    clock.now = 1
    meter.totals()
    counter.joules = kept
    clock.now = 2
    assert meter.stop(one).joules["cpu"] == pytest.approx(20)
