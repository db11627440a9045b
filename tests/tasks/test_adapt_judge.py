"""The judgement on hand-made figures: what lies nearer is better, copies and worse are refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tasks.adapt_judge import judge_adaptation
from tasks.adapt_paint import Painted
from tasks.domain.adapt_parameters import AdaptParams, SelfJudgementParams
from tasks.domain.records import (
    SOUND,
    Bead,
    Edit,
    MaskScore,
    PlannedEdit,
    Ref,
    RegionStrategy,
    RunContext,
    Source,
)
from tasks.store.files import ContentStore

DIM, SIDE, FEATURES = 8, 32, 3
WINDOW = (10, 6, SIDE, SIDE)
REGION = np.zeros((48, 56), bool)
REGION[14:30, 18:36] = True
PLACES = {SOUND: 0, "crack": 1, "pores": 2}
EACH = 8
KINDS = [SOUND] * EACH + ["crack"] * EACH + ["pores"] * EACH  # placebos first: rows are not ranks
PARAMS = AdaptParams(
    images="x", out="y", judgement=SelfJudgementParams(edits=EACH, placebos=EACH, draws=100)
)


def embedded(places: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Unit rows about the axes named."""
    rows = np.eye(DIM)[list(places)] + rng.normal(0, 0.12, (len(places), DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@dataclass
class Plant:
    """Held-out parts in a store: six sound ones, one of each kind; two parts a kind learned from.

    groups holds the part of each source by id.
    """

    uri: str
    kinds: Sequence[str] = ("crack", "pores")
    groups: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.store = ContentStore(self.uri)
        self.sound = [self._source(f"sound {i}", rng) for i in range(6)]
        kinds = np.repeat([SOUND, *self.kinds], 6)
        parts = [f"learned {kind} {i % 2}" for i, kind in enumerate(kinds)]
        self.learned = self._windows(kinds, parts, rng)
        held = np.repeat([SOUND, *self.kinds], [6, *[4] * len(self.kinds)])
        names = [self.sound[i].id if k == SOUND else f"held {k}" for i, k in enumerate(held)]
        self.judging = self._windows(held, names, rng)
        self.described = self.store.put_arrays(
            {
                "zone_residual": rng.normal(0, 1, (24, FEATURES)).astype(np.float32),
                "zone_label": np.repeat("OK", 24),
                "zone_source": np.array([self.sound[i % 6].id for i in range(24)]),
            }
        )

    def _source(self, name: str, rng: np.random.Generator) -> Source:
        image = rng.integers(90, 110, REGION.shape).astype(np.uint8)
        ref = self.store.put_image(image)
        self.groups[name] = f"part of {name}"
        return Source(
            id=name, name=f"{name}.png", uri="file:///x.png", label="OK", kind=SOUND, image=ref,
            width_px=image.shape[1], height_px=image.shape[0],
        )  # fmt: skip

    def _windows(self, kinds, sources: Sequence[str], rng: np.random.Generator) -> Ref:
        for name in sources:
            self.groups.setdefault(name, f"part of {name}")
        grey = rng.integers(0, 255, (len(kinds), SIDE, SIDE))
        return self.store.put_arrays(
            {
                "image": np.repeat(grey[..., None], 3, axis=3).astype(np.uint8),
                "kind": np.array(kinds),
                "source": np.array(sources),
                "embedding": embedded([PLACES[kind] for kind in kinds], rng),
            }
        )

    def reconstructed(self, psnr_db: float) -> Ref:
        """Reconstructions of all judging windows of about that quality."""
        source = self.store.get_arrays(self.judging)["source"]
        noise = np.random.default_rng(3).normal(0, 0.1, len(source))
        return self.store.put_arrays({"psnr": psnr_db + noise, "source": source})

    def painted(
        self,
        places: dict[str, int],
        *,
        trace: dict[str, float] | None = None,
        copied: Sequence[int] = (),
        seed: int = 1,
    ) -> Painted:
        """What a set painted that puts kinds at these axes.

        Args:
            trace: how far its residuals lie from real ones, by kind.
            copied: rows that repeat a training window, embedding and pixels.
        """
        rng = np.random.default_rng(seed)
        kinds = [kind for kind in KINDS if kind in {SOUND, *self.kinds}]
        plans = [self._plan(i, kind) for i, kind in enumerate(kinds)]
        rows = embedded([places.get(kind, 0) for kind in kinds], rng)
        images = [rng.integers(60, 140, REGION.shape).astype(np.uint8) for _ in kinds]
        seen = self.store.get_arrays(self.learned)
        for row in copied:
            window = np.flatnonzero(seen["kind"] == kinds[row])[0]
            rows[row] = seen["embedding"][window]
            inside = images[row][WINDOW[1] :, WINDOW[0] :][:SIDE, :SIDE]
            inside[:] = seen["image"][window][..., 0]
        shift = np.array([[(trace or {}).get(kind, 0.0)] for kind in kinds])
        residual = (shift + rng.normal(0, 1, (len(kinds), FEATURES))).astype(np.float32)
        half = len(kinds) // 2
        return Painted(
            plans=tuple(plans),
            images=tuple(self.store.put_image(self._composed(i, image))
                         for i, image in enumerate(images)),
            measured=tuple(
                self.store.put_arrays(
                    {
                        "embedding": rows[part], "residual": residual[part],
                        "source": np.array([plan.source.id for plan in plans[part]]),
                    }
                )
                for part in (slice(0, half), slice(half, None))
            ),
        )  # fmt: skip

    def _composed(self, row: int, inside: np.ndarray) -> np.ndarray:
        before = self.store.get_image(self.sound[row % 6].image)
        return np.where(REGION, inside, before).astype(np.uint8)

    def _plan(self, row: int, kind: str) -> PlannedEdit:
        source = self.sound[row % 6]
        edit = Edit(
            source_id=source.id, kind=kind, prompt=kind, negative_prompt="",
            region=RegionStrategy.LEARNED, variant=row // 6, seed=row, strength=0.5,
            guidance_scale=3.0, steps=25, is_placebo=kind == SOUND,
        )  # fmt: skip
        whole = MaskScore(total=1, elongation=1, contrast=1, homogeneity=1, centring=1)
        mask = self.store.put_mask(np.ones_like(REGION))
        bead = Bead(source_id=source.id, mask=mask, score=whole, box_xywh=(0, 0, 56, 48))
        return PlannedEdit(
            id=f"{row:032x}", edit=edit, source=source, bead=bead,
            region=self.store.put_mask(REGION), window_xywh=WINDOW,
        )  # fmt: skip

    def judged(self, base: Painted, adapted: Painted, psnr_db=(30.0, 30.0), groups=None):
        context = RunContext(
            store_uri=self.uri, store_identity=self.store.identity, models="tiny",
            models_fingerprint="0" * 32,
        )  # fmt: skip
        before, after = (self.reconstructed(value) for value in psnr_db)
        return judge_adaptation.fn(
            [self.learned], [self.judging], [self.described], (before, after), base, adapted,
            groups or self.groups, context, PARAMS,
        )  # fmt: skip


AT_THE_REAL = PLACES
ELSEWHERE = {SOUND: 0, "crack": 3, "pores": 4}
CONFUSED = {SOUND: 0, "crack": 2, "pores": 1}


@pytest.fixture
def plant(tmp_path):
    return Plant(str(tmp_path))


@pytest.fixture
def sound_plant(tmp_path):
    return Plant(str(tmp_path), kinds=())


def test_what_lies_at_the_real_defects_is_better_than_what_lies_elsewhere(plant):
    far, near = plant.painted(ELSEWHERE), plant.painted(AT_THE_REAL)
    better = plant.judged(far, near)
    assert better.verdict.is_better
    assert better.figures.difference.kid.high < 0
    assert better.figures.adapted.kid.value < better.figures.base.kid.value
    for kind in ("crack", "pores"):
        base, adapted = better.shown[kind]
        assert base.value < adapted.value == 1.0
    assert better.probe_recall["all"] == 1.0
    worse = plant.judged(near, far)
    assert not worse.verdict.is_better
    assert worse.figures.difference.kid.low > 0
    assert worse.figures.base == better.figures.adapted.model_copy(update={"memorised": None})


def test_a_set_that_confuses_the_kinds_is_not_nearer(plant):
    # Taken together its windows lie exactly where the real ones do.
    found = plant.judged(plant.painted(AT_THE_REAL), plant.painted(CONFUSED))
    assert found.figures.difference.kid.low > 0
    assert not found.verdict.is_better


def test_equal_sets_leave_the_base_in_place(plant):
    painted = plant.painted(AT_THE_REAL)
    found = plant.judged(painted, painted)
    assert not found.verdict.is_better
    change = found.figures.difference
    for figure in (change.psnr_db, change.kid, change.real_vs_synthetic_auc, change.placebo_auc):
        assert (figure.value, figure.low, figure.high) == (0, 0, 0)
    said = [reason.split(",")[0] for reason in found.verdict.reasons]
    assert said[:3] == [
        "likeness: as near",
        "reconstruction: not shown to be worse",
        "traces: placebos not shown to be easier to tell from real zones",
    ]


def test_copies_of_training_windows_are_refused_and_named(plant):
    copied = (9, 12, 17, 20)
    found = plant.judged(plant.painted(ELSEWHERE), plant.painted(AT_THE_REAL, copied=copied))
    assert not found.verdict.is_better
    (reason,) = found.verdict.reasons
    assert reason.startswith("memory: share of copies of training windows 0.250")
    assert reason.endswith("> 0.100")
    assert {row for row, likeness in found.copies if likeness > 0.98} == set(copied)
    assert [likeness for _, likeness in found.copies] == sorted(
        (likeness for _, likeness in found.copies), reverse=True
    )


def test_copies_of_the_base_do_not_count_against_the_adapted_set(plant):
    base = plant.painted(ELSEWHERE, copied=range(8, 24))
    found = plant.judged(base, plant.painted(ELSEWHERE, seed=2))
    assert found.figures.base.memorised is None
    assert found.figures.adapted.memorised.value == 0


def test_a_set_that_reconstructs_worse_is_refused_however_near_it_lies(plant):
    far, near = plant.painted(ELSEWHERE), plant.painted(AT_THE_REAL)
    found = plant.judged(far, near, psnr_db=(30.0, 29.0))
    assert not found.verdict.is_better
    (reason,) = found.verdict.reasons
    assert reason.startswith("reconstruction: worse, PSNR -1.00")
    assert found.figures.base.psnr_db.value - found.figures.adapted.psnr_db.value == pytest.approx(
        1
    )


def test_without_real_defects_placebos_decide(sound_plant):
    telling, honest = sound_plant.painted(PLACES, trace={SOUND: 3.0}), sound_plant.painted(PLACES)
    found = sound_plant.judged(telling, honest)
    assert found.verdict.is_better
    assert "traces: placebos harder" in found.verdict.reasons[1]
    assert found.figures.base.placebo_auc.value > 0.95 > found.figures.adapted.placebo_auc.value
    assert found.figures.difference.kid is None
    assert found.figures.adapted.memorised is None
    assert found.copies == ()
    assert not sound_plant.judged(honest, telling).verdict.is_better


def test_one_part_is_too_little_to_judge_placebos_by(sound_plant):
    telling, honest = sound_plant.painted(PLACES, trace={SOUND: 3.0}), sound_plant.painted(PLACES)
    one = dict.fromkeys(sound_plant.groups, "one")
    found = sound_plant.judged(telling, honest, groups=one)
    assert not found.verdict.is_better
    assert any("could not be measured" in reason for reason in found.verdict.reasons)


def test_traces_of_placebos_and_of_defects_are_told_apart(plant):
    base = plant.painted(AT_THE_REAL)
    in_defects = plant.painted(AT_THE_REAL, trace={"crack": 3.0, "pores": 3.0})
    change = plant.judged(base, in_defects).figures.difference
    assert change.real_vs_synthetic_auc.low > 0
    assert (change.placebo_auc.low, change.placebo_auc.high) == (0, 0)
    change = plant.judged(base, plant.painted(AT_THE_REAL, trace={SOUND: 3.0})).figures.difference
    assert change.placebo_auc.low > 0
    assert (change.real_vs_synthetic_auc.low, change.real_vs_synthetic_auc.high) == (0, 0)


def test_a_kind_that_was_not_held_out_does_not_stand_in_for_another(tmp_path):
    # The real cracks alone are held out: pores painted in their place bring nothing nearer.
    plant = Plant(str(tmp_path), kinds=("crack", "pores"))
    arrays = plant.store.get_arrays(plant.judging)
    keep = arrays["kind"] != "pores"
    plant.judging = plant.store.put_arrays({name: rows[keep] for name, rows in arrays.items()})
    base = plant.painted(ELSEWHERE)
    found = plant.judged(base, plant.painted(ELSEWHERE | {"pores": PLACES["crack"]}))
    assert found.figures.difference.kid.value == pytest.approx(0, abs=1e-6)
