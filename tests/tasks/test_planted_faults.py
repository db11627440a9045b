"""The gates on candidates of known truth: faults refused for the right reason, real KO let through.

The issue asks for 20 of each; `POOLSTAR_CASES` raises the number.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
from landed import columns, run_row, source_row
from planted import FAULTS, RIGHT_REASONS, Bench, Case, cases_of, good_case, placed_case
from skimage.metrics import structural_similarity
from sklearn.metrics import roc_auc_score

from tasks.domain.records import KnownPool
from tasks.measure import measure_batch
from tasks.store.archive import Archive
from tasks.store.rows import PoolRow

COUNT = int(os.environ.get("POOLSTAR_CASES", "24"))
GATE_1_AND_REALISM = ("bead_iou", "inside_share", "histogram", "seam", "change", "realism")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), "tiny")


@pytest.fixture(scope="module")
def good(bench):
    cases = cases_of(good_case, COUNT, 100)
    return cases, bench.judged(cases).judged


@pytest.fixture(scope="module")
def faulty(bench):
    cases = {
        name: [plant(case) for case in cases_of(placed_case, COUNT, 200)]
        for name, plant in FAULTS.items()
    }
    return {name: (these, bench.judged(these).judged) for name, these in cases.items()}


def test_real_defects_pass_gate_1_and_realism(good):
    passed = [
        not any(reason.startswith(GATE_1_AND_REALISM) for reason in one.verdict.reasons)
        for one in good[1]
    ]
    assert np.mean(passed) >= 0.9


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_refused_for_the_right_reason(faulty, fault):
    right = [
        any(reason.startswith(RIGHT_REASONS[fault]) for reason in one.verdict.reasons)
        for one in faulty[fault][1]
    ]
    assert np.mean(right) >= 0.9


def test_what_the_pool_holds_is_refused_and_named(bench, good, tmp_path):
    candidates = [bench.candidate(case) for case in good[0][:4]]
    looks = bench.store.get_arrays(measure_batch.fn(candidates, bench.context))["embedding"]
    archive = Archive(str(tmp_path / "pool"))
    archive.land(
        run_row("r1"),
        pool=[
            PoolRow(**columns(f"held{i}", embedding=looks[i], embedding_image=looks[i]))
            for i in (1, 3)
        ],
        rejected=[], sources=[source_row(embedding=looks[0])], embedding_dim=looks.shape[1],
    )  # fmt: skip
    pool = KnownPool(uri=archive.uri, version="v1", sha256=archive.embeddings_sha256("v1"))
    alone, beside = bench.verdicts(candidates), bench.verdicts(candidates, pool)
    for i, (before, after) in enumerate(zip(alone.judged, beside.judged, strict=True)):
        assert before.verdict.merged_into is None
        assert after.verdict.merged_into == (f"held{i}" if i in (1, 3) else None)
    reasons = {after.verdict.reasons for after in beside.judged[1::2]}
    assert reasons == {("near-duplicate in the pool",)}


def test_near_duplicates_are_merged_into_the_better_one(bench, good):
    rng = np.random.default_rng(0)

    def nearly(case: Case) -> Case:
        noisy = np.clip(np.rint(case.after + rng.normal(0, 0.7, case.after.shape)), 0, 255)
        return replace(
            case, after=np.where(case.region[..., None], noisy.astype(np.uint8), case.after)
        )

    passing = [
        case for case, one in zip(*good, strict=True)
        if not any(reason.startswith(GATE_1_AND_REALISM) for reason in one.verdict.reasons)
    ]  # fmt: skip
    judged = bench.judged(passing + [nearly(case) for case in passing]).judged
    merged = [
        any(
            reason.startswith("near-duplicate")
            for one in (judged[i], judged[i + len(passing)])
            for reason in one.verdict.reasons
        )
        for i in range(len(passing))
    ]
    assert np.mean(merged) >= 0.9
    keepers = {one.candidate.id: one.merged_ids for one in judged}
    for one in judged:
        if one.verdict.merged_into is not None:
            assert one.candidate.id in keepers[one.verdict.merged_into]


def test_d_plaus_tells_sound_from_bad_better_than_ssim_and_pixels(good, faulty, capsys):
    bad = [name for name in FAULTS if name != "nothing changed"]
    cases = good[0] + [case for name in bad for case in faulty[name][0]]
    judged = list(good[1]) + [one for name in bad for one in faulty[name][1]]
    is_bad = np.repeat([0, 1], [len(good[0]), len(cases) - len(good[0])])
    ssim = [1 - structural_similarity(c.before, c.after, channel_axis=2) for c in cases]
    pixels = [float(np.mean((c.before.astype(float) - c.after) ** 2)) for c in cases]
    auc = {
        "D_plaus": roc_auc_score(is_bad, [one.scores.d_plaus for one in judged]),
        "SSIM": roc_auc_score(is_bad, ssim),
        "pixel L2": roc_auc_score(is_bad, pixels),
    }
    with capsys.disabled():
        print(f"\nAUC sound against planted-bad: {auc}")
    assert auc["D_plaus"] >= 0.9
    assert auc["D_plaus"] > max(auc["SSIM"], auc["pixel L2"])
