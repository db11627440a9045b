"""version_difference: it adds up, forth and back, and says what moved for which reason."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.version_diff import Standing, version_difference


def standing(key: str, **changes) -> Standing:
    return Standing(
        **{
            "id": key, "source_id": "s", "kind": "crack", "prompt": "a crack", "is_placebo": False,
            "s_i": 0.8, "realism": 0.7, "utility": 0.9, "d_plaus": 0.1, "accepted": True,
        } | changes
    )  # fmt: skip


REFUSED = {"accepted": False, "stage": "plausible", "reasons": ("seam .12 < .60 (typicality)",)}
version = st.dictionaries(
    st.sampled_from("abcdef"), st.sampled_from([{}, {"s_i": 0.9}, REFUSED, {"kind": "pore"}])
).map(lambda rows: {key: standing(key, **changes) for key, changes in rows.items()})


@given(version, version)
def test_it_adds_up_and_turns_round(a, b):
    there, back = version_difference(a, b), version_difference(b, a)
    assert len(b) == len(a) + len(there.added) - len(there.removed)
    assert len(a) == there.unchanged + len(there.rescored) + len(there.removed)
    assert (there.added, there.removed, there.moved) == (back.removed, back.added, back.moved)
    for name, ids in (("added", there.added), ("removed", there.removed)):
        assert sum(one.count for one in there.tallies[name]) == len(ids)
    rebuilt = {key: one for key, one in a.items() if key not in there.removed}
    rebuilt |= {one.after.id: one.after for one in there.rescored}
    assert rebuilt | {key: b[key] for key in there.added} == b


@given(version)
def test_a_version_does_not_differ_from_itself(a):
    found = version_difference(a, a)
    assert (found.added, found.removed, found.rescored, found.unchanged) == ((), (), (), len(a))


def test_tallies_are_by_kind_prompt_and_reason_whatever_its_figures():
    after = {
        "a": standing("a"),
        "b": standing("b", **REFUSED),
        "c": standing("c", **REFUSED | {"reasons": ("seam .31 < .60 (typicality)", "other")}),
        "p": standing("p", is_placebo=True),
    }
    tallies = version_difference({}, after).tallies["added"]
    assert [(one.kind, one.verdict, one.count) for one in tallies] == [
        ("crack", "accepted", 1), ("crack", "plausible: seam", 2), ("sound", "accepted", 1),
    ]  # fmt: skip


def test_an_image_that_moved_between_pool_and_rejected_says_why():
    found = version_difference({"a": standing("a", **REFUSED)}, {"a": standing("a")})
    assert found.moved == ("a",)
    assert found.tallies["rescored"][0].verdict == "plausible: seam -> accepted"
