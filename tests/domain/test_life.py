"""gate_checks says what the gates themselves say, for any figures."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.calibration import Quantiles
from tasks.domain.honesty import honesty_reasons
from tasks.domain.life import gate_checks
from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.domain.plausibility import Plausibility, plausibility_reasons
from tasks.domain.scoring import score_reasons

PARAMS = GrowParams(images="x", pool="p", prompts=(PromptSpec(kind="crack", prompt="a crack"),))
CALIBRATION = {"novelty": Quantiles(q50=0.1, q95=0.2, q99=0.3, n=9).model_dump()}
NAMES = ("bead_iou", "inside_share", "histogram", "seam", "change", "realism", "s_i",
         "p_synthetic", "ko_drop", "novelty")  # fmt: skip
LIMITS = (0.8, 0.99, 0.35, 0.6, 3.0, 0.45, 0.7, 0.95, 0.05, 0.25)
figure = st.one_of(st.floats(-0.5, 4), st.sampled_from(LIMITS))


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, figure)), st.booleans())
def test_a_check_passes_exactly_when_its_gate_gives_no_reason(figures, is_placebo):
    params = PARAMS.model_dump(mode="json")
    checks = gate_checks(figures, is_placebo, params, CALIBRATION)
    plausible = Plausibility(
        **{name: figures[name] for name in ("bead_iou", "inside_share", "histogram", "seam")},
        change=figures["change"],
    )
    s_i = 1.0 if is_placebo else figures["s_i"]
    drop = figures["ko_drop"]
    reasons = {
        "plausible": plausibility_reasons(plausible, PARAMS.plausible, is_placebo),
        "score": score_reasons(s_i, figures["realism"], PARAMS.score),
        "honest": honesty_reasons(
            figures["p_synthetic"], drop, drop, is_placebo, PARAMS.honest
        ),
    }  # fmt: skip
    for stage, said in reasons.items():
        refused = [one for one in checks if one.stage == stage and not one.passed]
        assert len(refused) == len(said), (stage, refused, said)
    novelty = [one.passed for one in checks if one.stage == "useful"]
    expected = 1 - PARAMS.deduplicate.max_cosine < figures["novelty"] < 0.6
    assert is_placebo or all(novelty) == expected


def test_figures_that_are_no_numbers_are_told_and_refuse_but_for_the_classifiers():
    params = PARAMS.model_dump(mode="json")
    figures = {"p_synthetic": math.nan, "ko_drop": math.nan}
    checks = {one.name: one for one in gate_checks(figures, False, params, {})}
    assert {name: (one.value, one.passed) for name, one in checks.items()} == {
        "p_synthetic": (None, True), "ko_drop": (None, False),
    }  # fmt: skip


def test_a_run_that_names_no_thresholds_has_no_checks():
    assert gate_checks({"seam": 0.5}, False, {}, {}) == ()
