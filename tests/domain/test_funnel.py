"""Everything that came in is accepted or refused, once, whatever the reasons say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.domain.errors import BadInput
from tasks.domain.funnel import Funnel, FunnelRow, funnel_of, reason_head
from tasks.domain.records import Refusal, Stage, Verdict

REASONS = st.text(min_size=1, max_size=20)
IMAGE_STAGES = st.sampled_from([Stage.INGEST, Stage.SEGMENT])
EDIT_STAGES = st.sampled_from([s for s in Stage if s not in (Stage.INGEST, Stage.SEGMENT)])
KINDS = st.sampled_from(["crack", "porosity", "sound"])


def refused(name: str, stage: Stage, *reasons: str) -> Verdict:
    return Verdict(candidate_id=name, accepted=False, stage=stage, reasons=reasons)


@given(
    st.integers(0, 20),
    st.lists(st.tuples(IMAGE_STAGES, REASONS), max_size=15),
    st.lists(st.tuples(EDIT_STAGES, REASONS), max_size=15),
    st.lists(st.tuples(KINDS, st.none() | st.tuples(EDIT_STAGES, REASONS)), max_size=25),
)
def test_the_totals_add_up(
    sources: int,
    images: list[tuple[Stage, str]],
    edits: list[tuple[Stage, str]],
    judged: list[tuple[str, tuple[Stage, str] | None]],
) -> None:
    refusals = [Refusal(subject="x", stage=s, reason=r) for s, r in images + edits]
    verdicts = [
        Verdict(candidate_id=str(i), accepted=True) if out is None else refused(str(i), *out)
        for i, (_, out) in enumerate(judged)
    ]
    kinds = {str(i): kind for i, (kind, _) in enumerate(judged)}
    funnel = funnel_of(sources + len(images), refusals, verdicts, kinds)
    assert funnel.sources == sources
    assert funnel.images_refused == len(images)
    assert funnel.edits == len(edits) + len(judged)
    assert funnel.edits == funnel.edits_refused + funnel.accepted_total
    assert funnel.accepted_total == sum(out is None for _, out in judged)
    assert sum(row.count for row in funnel.rows) == len(refusals) + len(judged) - sum(
        funnel.accepted.values()
    )
    reordered = funnel_of(sources + len(images), refusals[::-1], verdicts[::-1], kinds)
    assert reordered == funnel


def test_like_reasons_count_together_in_pipeline_order() -> None:
    refusals = [
        Refusal(subject="a", stage=Stage.SEGMENT, reason="no bead: best S_mask 0.51 <= 0.65"),
        Refusal(subject="b", stage=Stage.SEGMENT, reason="no bead: the segmenter found no mask"),
        Refusal(subject="c", stage=Stage.INGEST, reason="unreadable (truncated)"),
    ]
    verdicts = [
        refused("1", Stage.PLAUSIBLE, "seam .12 < .35 (typicality)", "change 1.0 < 3.0"),
        refused("2", Stage.PLAUSIBLE, "seam .30 < .35 (typicality)"),
        refused("3", Stage.PLAUSIBLE, "change 2.90 < 3.00 (multiples of the grain)"),
        refused("4", Stage.HONEST, "ablation: KO score falls by 0.01 < 0.05"),
        Verdict(candidate_id="5", accepted=True),
        Verdict(candidate_id="6", accepted=True),
    ]
    kinds = dict.fromkeys("12345", "crack") | {"6": "sound"}
    funnel = funnel_of(5, refusals, verdicts, kinds)
    assert [(row.stage, row.reason, row.count) for row in funnel.rows] == [
        ("ingest", "unreadable (truncated)", 1),
        ("segment", "no bead", 2),
        ("plausible", "seam", 2),
        ("plausible", "change", 1),
        ("honest", "ablation", 1),
    ]
    assert funnel.accepted == {"crack": 1, "sound": 1}
    assert funnel.sources == 2


@pytest.mark.parametrize(
    ("reason", "head"),
    [
        ("seam .12 < .35", "seam"),
        ("seam nan < .35", "seam"),
        ("s_i 0.70 <= 0.70 (S_i)", "s_i"),
        ("drop -0.20 < 0.05", "drop"),
        ("information is missing", "information is missing"),
        ("duplicate of ab12cd34ef567890", "duplicate of"),
        ("4000 x 3000 px, too large", "# x # px, too large"),
        ("Expected a bead of 12 px or more, but got 3", "Expected a bead of"),
        (" ", "unnamed"),
    ],
)
def test_the_head_ends_where_the_particulars_begin(reason: str, head: str) -> None:
    assert reason_head(reason) == head


@given(st.text(alphabet="abc xyz", min_size=1).filter(str.strip), st.floats(), st.floats())
def test_figures_do_not_part_reasons(words: str, one: float, other: float) -> None:
    assert reason_head(f"w{words} {one} < 1") == reason_head(f"w{words} {other:.2f} < .5")


def test_a_lost_or_doubled_candidate_is_an_error() -> None:
    one = Verdict(candidate_id="1", accepted=True)
    with pytest.raises(BadInput, match="exactly one verdict"):
        funnel_of(1, [], [one], {"1": "crack", "2": "crack"})
    with pytest.raises(BadInput, match="exactly one verdict"):
        funnel_of(1, [], [one, one], {"1": "crack"})
    with pytest.raises(BadInput, match="exactly one verdict"):
        funnel_of(1, [], [one], {})
    with pytest.raises(BadInput, match="at most 0 refused"):
        funnel_of(0, [Refusal(subject="a", stage=Stage.INGEST, reason="r")], [], {})


def test_a_funnel_that_does_not_add_up_cannot_be_made() -> None:
    row = FunnelRow(stage=Stage.SCORE, reason="s_i", count=2)
    with pytest.raises(ValidationError, match="accepted or refused"):
        Funnel(listed=1, edits=4, rows=(row,), accepted={"crack": 1})
    assert Funnel(listed=1, edits=3, rows=(row,), accepted={"crack": 1}).edits_refused == 2
