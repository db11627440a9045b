"""Energy: the article's line, measured before estimated, reused told apart from spent."""

import pytest

from tasks.domain.energy import StageCost, article_campaign_kwh, article_wh, run_energy


def cost(stage: str, share_s: float, **joules: float) -> StageCost:
    return StageCost(stage=stage, seconds=2 * share_s, share_s=share_s, joules=joules)


def figures(computed, reused=(), *, seconds=100.0, joules=None, accepted=10, watts=70.0):
    return run_energy(
        computed, reused, seconds=seconds, joules=joules or {}, watts=watts, accepted=accepted
    )


def test_the_articles_line():
    assert article_wh() == pytest.approx(0.0972, abs=1e-4)
    assert article_campaign_kwh() == pytest.approx(1.1667, abs=1e-4)


def test_without_counters_power_times_time_and_marked():
    run = figures([cost("inpaint", 30), cost("inpaint", 20), cost("measure", 10)])
    assert run.is_estimate
    assert run.method.startswith("70 W x time")
    assert run.joules == 7000
    assert {s.stage: s.joules for s in run.stages} == {"inpaint": 3500, "measure": 700}
    ordered = run_energy([cost("b", 1)], [("a", None)], seconds=1, joules={}, watts=1, accepted=0,
                         order=["a", "b"])  # fmt: skip
    assert [one.stage for one in ordered.stages] == ["a", "b"]
    assert run.other_joules == 7000 - 4200
    assert run.wh_per_image == pytest.approx(7000 / 3600 / 10)


def test_the_articles_image_costs_the_articles_energy():
    assert figures([], seconds=5.0, accepted=1).wh_per_image == pytest.approx(article_wh())


def test_counters_are_believed_instead_of_the_assumed_power():
    one = cost("inpaint", 30, gpu=5000.0, cpu=400.0)
    run = figures([one], joules={"gpu": 6000.0, "cpu": 900.0}, watts=1e6)
    assert not run.is_estimate
    assert run.joules == 6900
    assert run.other_joules == 1500
    assert "NVML" in run.method
    assert "RAPL" in run.method
    assert "CPU's energy could not be read" in figures([], joules={"gpu": 1.0}).method


def test_what_the_cache_gave_costs_nothing_now_and_says_what_it_once_cost():
    run = figures([], [("inpaint", cost("inpaint", 30)), ("inpaint", None)], seconds=1.0)
    (line,) = run.stages
    assert (line.computed, line.reused, line.joules, line.reused_joules) == (0, 2, 0, 2100)
    assert run.joules == 70
    assert run.unknown_reused == 1
    assert run.wh_per_image == pytest.approx((70 + 2100) / 3600 / 10)


def test_reused_results_of_a_machine_without_counters_make_it_an_estimate():
    run = figures([], [("inpaint", cost("inpaint", 30))], joules={"cpu": 9.0})
    assert run.is_estimate
    assert "some reused results estimated" in run.method


def test_nothing_accepted_has_no_price():
    assert figures([], accepted=0).wh_per_image is None
