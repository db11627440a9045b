"""nightly: grows to the mix, tries what it grew, and promotes only what holds."""

import pytest
from small_trial import null_pool, render_dataset, small_trial

from flows.nightly import nightly
from tasks.dataset import nights_growth
from tasks.domain.trial_parameters import GrowthParams, MixParams, NightlyParams
from tasks.store.archive import Archive
from tasks.store.trials import Trials


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night") / "data"
    render_dataset(folder)
    return folder


@pytest.mark.slow
def test_a_night_holds_what_may_be_worse_and_promotes_what_is_within_the_margin(dataset, tmp_path):
    mix = MixParams(shares=(0.0, 0.15))  # the pool holds no more
    trial = small_trial(dataset, tmp_path, arms=("real", "filtered"), mix=mix)
    null_pool(trial.pool)
    assert nights_growth(NightlyParams(trial=trial)) is None, "the pool holds its share already"
    strict = nightly(NightlyParams(trial=trial.model_copy(update={"margin": 0.0})))
    ledger = Trials(trial.pool)
    assert strict.promotion is not None
    assert not strict.promotion.is_due
    assert strict.promotion.reason.startswith("held")
    assert ledger.champion() is None
    lenient = nightly(NightlyParams(trial=trial.model_copy(update={"margin": 1.0})))
    row = ledger.rows()[-1]
    if lenient.recommended_share == 0:
        assert "recommends no synthetic" in row["reason"]
        assert ledger.champion() is None
    else:
        assert ledger.champion() == "v1"
        assert row["is_promoted"]
    assert Archive(trial.pool).versions() == ["v1"]


@pytest.mark.slow
def test_the_first_night_grows_the_share_from_the_training_part_alone(dataset, tmp_path):
    trial = small_trial(
        dataset, tmp_path, arms=("real", "filtered"),
        grow=GrowthParams(target=1, max_sources=16, max_rounds=1),
    )  # fmt: skip
    growth = nights_growth(NightlyParams(trial=trial))
    assert growth is not None
    assert {one.target for one in growth.prompts} == {2}, "7 of 43 are 15 %, over six kinds"
    result = nightly(NightlyParams(trial=trial))
    assert result.version == "v1"
    assert sum(result.synthetic.values()) > 3
    names = {str(file) for file in (dataset / "test").rglob("*.png")}
    assert not names & {row["uri"] for row in Archive(trial.pool).sources()}
    assert len(Trials(trial.pool).rows()) == 1
    held = nights_growth(NightlyParams(trial=trial))
    assert held is None or all(one.target <= 2 for one in held.prompts)
