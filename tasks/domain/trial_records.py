"""What the stages of a trial pass to each other: images to view, trainings, figures, the result."""

from tasks.domain.bootstrap import Estimate
from tasks.domain.exposure import Exposure
from tasks.domain.mix import MixPoint
from tasks.domain.promotion import Promotion
from tasks.domain.records import Record, Ref, Source
from tasks.domain.trial_parameters import ARM_NAMES, Arm
from tasks.domain.view import Frame

NO_FOLD = -1


class ViewedImage(Record):
    """A real image with what the trial knows of it; fold -1 stands for `in no fold`."""

    source: Source
    frame: Frame
    group: str
    fold: int


class Place(Record):
    """Where a real training image stands: its group and its fold."""

    group: str
    fold: int


class PoolSelection(Record):
    """Rows of one table of a pool's version, sealed by the table's manifest."""

    pool: str
    version: str
    table: str
    manifest: str


class Training(Record):
    """One training: an arm at a share with a seed; views by reference.

    `synthetic` is empty for arms without; `along_only`: a copied defect keeps its row.
    """

    arm: Arm
    share: float
    placebo_part: float
    seed: int
    fold: int
    real: tuple[Ref, ...]
    synthetic: tuple[Ref, ...]
    along_only: bool


class Trained(Record):
    """A detector's weights and what it was shown."""

    training: Training
    weights: Ref
    exposure: Exposure


class ScoredSet(Record):
    """Views to score, under a name."""

    name: str
    views: tuple[Ref, ...]


class ArmFigures(Record):
    """One arm: every measure with its interval, and its paired difference to `real`."""

    arm: str
    share: float
    exposure: Exposure
    measures: dict[str, Estimate]
    difference: dict[str, Estimate]
    by_kind: dict[str, float]


class Comparison(Record):
    """The paired difference of `real + filtered` to another arm, measure by measure."""

    other: str
    difference: dict[str, Estimate]


class DataSummary(Record):
    """The data of a trial in numbers.

    `refused` names the images that could not be used by the reason why, `dropped` gives the reason
    of each test image that something had seen; `adapted_on`: training images that the generator
    knows.
    """

    dataset: str
    note: str
    train_ok: int
    train_ko: int
    test_ok: int
    test_ko: int
    train_groups: int
    test_groups: int
    kinds: dict[str, tuple[int, int]]
    refused: dict[str, tuple[str, ...]]
    without_bead: int
    dropped: dict[str, str]
    ood: dict[str, int]
    adapted_on: int = 0


class TrialResult(Record):
    """What a trial reports back, and what table `trials` keeps."""

    trial_id: str
    pool: str
    version: str
    champion: str | None
    models: str
    synthetic: dict[str, int]
    later_generations: int
    data: DataSummary
    prevalence: float
    mix: tuple[MixPoint, ...]
    mix_recall: tuple[Estimate, ...]
    recommended_share: float
    arms_share: float
    arms: tuple[ArmFigures, ...]
    comparisons: tuple[Comparison, ...]
    skipped: dict[str, str]
    promotion: Promotion | None
    report: str
    seconds: float


def arm_name(arm: str) -> str:
    """What the report calls an arm."""
    return next((name for key, name in ARM_NAMES.items() if key == arm), f"real + {arm}")
