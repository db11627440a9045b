"""Energy: the article's line, measured before estimated, reused told apart from spent."""

import pytest

from tasks.domain.energy import (
    StageCost,
    article_campaign_kwh,
    article_wh,
    run_energy,
    shared_fairly,
)


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


def at(
    start_s: float, end_s: float, *, process: int = 1, machine: str = "a", **joules
) -> StageCost:
    """As the process's own meter saw it, which ran one stage at a time."""
    length = end_s - start_s
    return StageCost(
        stage="inpaint", seconds=length, share_s=length, joules=joules, machine=machine,
        process=process, ended_s=end_s,
    )  # fmt: skip


def test_stages_at_once_in_several_processes_of_a_machine_share_it():
    alone, first, second = at(0, 4), at(4, 14, cpu=100.0), at(8, 14, process=2, cpu=60.0)
    shares = shared_fairly([alone, first, second])
    assert [one.share_s for one in shares] == [4, 7, 3]
    assert sum(one.share_s for one in shares) == 14
    assert [one.joules.get("cpu", 0) for one in shares] == pytest.approx([0, 70, 30])
    elsewhere = at(8, 14, process=2, machine="b")
    assert shared_fairly([first, elsewhere]) == [first, elsewhere]


def test_one_process_is_believed_as_it_is():
    costs = [cost("a", 3), cost("b", 4)]
    assert shared_fairly(costs) == costs
    assert shared_fairly([]) == []


def test_other_machines_are_charged_while_they_work_and_the_flows_own_throughout():
    costs = [at(0, 10), at(0, 30, machine="b", process=2), at(5, 25, machine="c", process=3)]
    run = run_energy(costs, [], seconds=100.0, joules={}, watts=70.0, accepted=1, machine="a")
    assert run.joules == 70 * (100 + 30 + 20)
    assert run.other_joules == 70 * 90
    assert "2 more machines" in run.method
    alone = run_energy(costs[:1], [], seconds=100.0, joules={}, watts=70.0, accepted=1, machine="a")
    assert alone.joules == 7000
    assert "more machines" not in alone.method
