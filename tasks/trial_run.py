"""What a trial has gathered so far: images with frames and folds, views, scores, figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.domain.bootstrap import Estimate, estimate
from tasks.domain.errors import BadInput
from tasks.domain.exposure import Exposure
from tasks.domain.mix import MixPoint
from tasks.domain.records import Record, Ref
from tasks.domain.trial_parameters import Arm, TrialParams
from tasks.domain.trial_records import (
    PoolSelection,
    ScoredSet,
    Training,
)
from tasks.domain.view import BEAD_HW_PX, WHOLE_HW_PX
from tasks.evaluate import Evaluation, EvaluationRules
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.trials import Trials

SYNTHETIC: tuple[Arm, ...] = ("filtered", "unfiltered", "no_gate_3")


class PoolRows(Record):
    """The synthetic images of one version that a trial may use, by table.

    `trained_on` names the real images that its model sets were adapted on, by id.
    """

    pool: str
    version: str
    ids: dict[str, tuple[str, ...]]
    manifests: dict[str, str]
    kinds: dict[str, int]
    later_generations: int
    trained_on: frozenset[str]

    @classmethod
    def of(cls, pool: str, version: str | None) -> "PoolRows":
        """Rows of generation 0; later generations are counted, never used.

        Raises:
            BadInput: no synthetic defect is left.
            UnknownVersion: there is no such version.
        """
        archive = Archive(pool)
        found = {name: archive.labels(name, version) for name in ("pool", "rejected")}
        first = {
            name: [row for row in rows if row["generation"] == 0] for name, rows in found.items()
        }
        kinds = Counter(
            "placebo" if row["is_placebo"] else str(row["kind"]) for row in first["pool"]
        )
        if not set(kinds) - {"placebo"}:
            raise BadInput(
                f"Expected accepted defects of generation 0 in the pool {pool}, but it holds none"
            )
        return cls(
            pool=pool,
            version=version or archive.versions()[-1],
            ids={name: tuple(row["id"] for row in rows) for name, rows in first.items()},
            manifests=archive.manifests(version),
            kinds=dict(sorted(kinds.items())) | {"refused": len(first["rejected"])},
            later_generations=sum(len(found[name]) - len(first[name]) for name in found),
            trained_on=frozenset(s.id for part, _ in archive.lineages(version) for s in part),
        )

    def selection(self, table: str) -> PoolSelection:
        """A table of this version, sealed by its manifest."""
        return PoolSelection(
            pool=self.pool, version=self.version, table=table, manifest=self.manifests[table]
        )


@dataclass
class TrialViews:
    """Views by reference: real ones by part, synthetic ones by table, and what tests beyond."""

    real: list[Ref]
    test: list[Ref]
    pool: list[Ref]
    rejected: list[Ref]
    champion: list[Ref]
    ood: dict[str, list[Ref]]
    subset: Ref
    perturbed: dict[str, Ref]

    def basic_sets(self) -> list[ScoredSet]:
        """What every detector is scored on."""
        return [
            ScoredSet(name="validation", views=tuple(self.real)),
            ScoredSet(name="test", views=tuple(self.test)),
        ]

    def all_sets(self) -> list[ScoredSet]:
        """What the arms' detectors are scored on."""
        more = {"placebo": self.pool} | {f"ood:{name}": refs for name, refs in self.ood.items()}
        more |= {f"perturbed:{name}": [ref] for name, ref in self.perturbed.items()}
        return [
            *self.basic_sets(),
            *(ScoredSet(name=name, views=tuple(refs)) for name, refs in more.items()),
        ]

    def labelled_sets(self) -> list[ScoredSet]:
        """All sets, and the rows of the test that were perturbed."""
        return [*self.all_sets(), ScoredSet(name="perturbed:subset", views=(self.subset,))]

    def synthetic_of(self, arm: Arm) -> list[Ref]:
        """The synthetic views of an arm."""
        return self.pool if arm == "filtered" else [*self.pool, *self.rejected]


def view_size(params: TrialParams) -> tuple[int, int]:
    """Height and width of the detector's view."""
    if params.detector.view_hw_px is not None:
        return params.detector.view_hw_px
    return BEAD_HW_PX if params.segment.surface == "bead" else WHOLE_HW_PX


def trainings(
    arm: Arm,
    share: float,
    real: Sequence[Ref],
    synthetic: Sequence[Ref],
    params: TrialParams,
) -> list[Training]:
    """One training a seed; seed i holds out fold i."""
    shown = share if arm not in {"real", "classic"} else 0.0
    return [
        Training(
            arm=arm,
            share=shown,
            placebo_part=params.mix.placebo_part,
            seed=params.run_seed * 1000 + index,
            fold=index % params.folds,
            real=tuple(real),
            synthetic=tuple(synthetic) if shown and arm in SYNTHETIC else (),
            along_only=params.segment.surface == "bead",
        )
        for index in range(params.seeds)
    ]


class PlannedArm(Record):
    """An arm with its trainings; `champion` is the arm `filtered` of another version."""

    name: str
    share: float
    trainings: tuple[Training, ...]


class ArmRun(Record):
    """An arm that was run."""

    name: str
    share: float
    exposure: Exposure
    evaluation: Evaluation


class MixCurve(Record):
    """The price of each share on validation, its figures on the test, and the share recommended."""

    points: tuple[MixPoint, ...]
    evaluations: tuple[Evaluation, ...]
    share: float


def pool_images(params: TrialParams) -> tuple[PoolRows, PoolRows | None]:
    """The version on trial, and the champion where another version is."""
    tried = PoolRows.of(params.pool, params.version)
    champion = Trials(params.pool).champion()
    if champion is None or champion == tried.version:
        return tried, None
    return tried, PoolRows.of(params.pool, champion)


def rules_of(params: TrialParams, prevalence: float) -> EvaluationRules:
    """Costs, operating point, resamples; the prevalence given, unless the parameters name one."""
    return EvaluationRules(
        cost_fn=params.price.cost_fn, cost_fp=params.price.cost_fp,
        prevalence=params.price.prevalence or prevalence,
        trained_at=params.detector.ko_share, false_alarms=params.price.false_alarms,
        max_risk=params.price.max_risk, resamples=params.resamples, seed=params.run_seed,
    )  # fmt: skip


def planned_arms(
    params: TrialParams, views: TrialViews, mix: MixCurve, store: ContentStore
) -> list[PlannedArm]:
    """The arms that can be run, all at the recommended share; at the default one if that is 0."""
    share = mix.share or params.mix.default_share
    planned = []
    for arm in params.arms:
        if arm == "copy_paste" and not has_masks(views.real, params.folds, store):
            continue
        runs = trainings(arm, share, views.real, views.synthetic_of(arm), params)
        planned.append(PlannedArm(name=arm, share=runs[0].share, trainings=tuple(runs)))
    if views.champion:
        runs = trainings("filtered", share, views.real, views.champion, params)
        planned.append(PlannedArm(name="champion", share=share, trainings=tuple(runs)))
    return planned


def paired(store: ContentStore, one: Evaluation, other: Evaluation) -> dict[str, Estimate]:
    """Differences of two arms' measures with intervals, resample by resample."""
    a, b = store.get_arrays(one.draws), store.get_arrays(other.draws)
    return {
        name: estimate(value - other.values[name], a[f"draws.{name}"] - b[f"draws.{name}"])
        for name, value in one.values.items()
        if name in other.values
    }


def intervals(store: ContentStore, draws: Ref, values: dict[str, float]) -> dict[str, Estimate]:
    """Measures with their intervals."""
    arrays = store.get_arrays(draws)
    return {name: estimate(value, arrays[f"draws.{name}"]) for name, value in values.items()}


def has_masks(real: Sequence[Ref], folds: int, store: ContentStore) -> bool:
    """Whether outside every fold some training defect has a mask, for copy-paste."""
    masked = set()
    for ref in real:
        arrays = store.get_arrays(ref)
        masked |= set(arrays["fold"][arrays["defect"].any(axis=(1, 2))].tolist())
    return all(masked - {fold} for fold in range(folds))
