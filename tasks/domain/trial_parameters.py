"""Every parameter of a trial: frozen, bounded, described; the Prefect form is built from them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.domain.parameters import (
    IngestParams,
    Parameters,
    PromptSpec,
    RunnerParams,
    SegmentParams,
)

Arm = Literal["real", "filtered", "unfiltered", "no_gate_3", "classic", "copy_paste"]
ARMS: tuple[Arm, ...] = ("real", "filtered", "unfiltered", "no_gate_3", "classic", "copy_paste")
ARM_NAMES: dict[Arm, str] = {
    "real": "real",
    "filtered": "real + filtered",
    "unfiltered": "real + unfiltered",
    "no_gate_3": "real + filtered without gate 3",
    "classic": "real + classic augmentation",
    "copy_paste": "real + copy-paste",
}
SHARES = (0.0, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50)


class DetectorParams(Parameters):
    """The detector that is trained in every arm, and the budget that all arms share."""

    kind: Literal["cnn", "probe"] = Field(
        "cnn",
        description="cnn: small network from scratch; probe: logistic regression on embeddings",
    )
    steps: int = Field(300, ge=10, le=100_000, description="Training steps, equal in all arms")
    batch_size: int = Field(32, ge=8, le=1024, description="Images a step")
    ko_share: float = Field(
        0.5, gt=0, lt=1, description="Share of KO exposures in every batch, equal in all arms"
    )
    learning_rate: float = Field(0.003, gt=0, le=1, description="Peak of the one-cycle schedule")
    width: int = Field(12, ge=4, le=128, description="Channels of the network's first layer")
    view_hw_px: tuple[int, int] | None = Field(
        None,
        description="Height and width of the detector's view; default: 64 x 256 along a bead, "
        "128 x 128 where the whole part is inspected",
    )

    @model_validator(mode="after")
    def _view_in_range(self) -> Self:
        if self.view_hw_px is not None and any(not 32 <= side <= 1024 for side in self.view_hw_px):
            raise ValueError("Expected sides of view_hw_px between 32 and 1024")
        return self


class SplitParams(Parameters):
    """How the images are divided; a group (part, tile, parent image) is never cut."""

    use: Literal["auto", "given", "new"] = Field(
        "auto",
        description="given: the split the dataset states; new: by group; auto: given where usable",
    )
    test_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the groups held out for the test, of a new split"
    )
    folds: int = Field(
        5, ge=2, le=20, description="Parts of the training groups for validation; at most the seeds"
    )
    group_pattern: str | None = Field(
        None, description="Regular expression on a file's name whose first group is its part"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of a new split and of the folds")
    leaks: Literal["refuse", "drop"] = Field(
        "refuse", description="What to do with leaking test images: stop, or leave them out"
    )
    max_similarity: float = Field(
        0.9, gt=0, le=1, description="Two images are near-duplicates above this correlation"
    )


class PriceParams(Parameters):
    """What errors cost (article 4), and how sure a decision must be (7.2)."""

    cost_fn: float = Field(100.0, gt=0, description="Cost of a missed defect")
    cost_fp: float = Field(1.0, gt=0, description="Cost of a false alarm")
    prevalence: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of KO parts in the plant; default: of the training part",
    )
    false_alarms: float = Field(
        0.05, gt=0, lt=1, description="Share of OK parts that may be flagged, for recall"
    )
    max_risk: float = Field(
        0.01, gt=0, lt=1, description="Error rate wanted among decisions that are not abstained"
    )


class MixParams(Parameters):
    """The share of synthetic images among the exposures, and how it is chosen."""

    shares: tuple[float, ...] = Field(SHARES, min_length=1, description="Shares tried")
    default_share: float = Field(
        0.15, gt=0, lt=1, description="The article's share; taken where no share is recommended"
    )
    placebo_part: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Placebos among the synthetic exposures; at one half the "
        "traces of the making tell a detector nothing",
    )
    real_floor: float = Field(
        0.5, gt=0, le=1, description="Share of real images that no mix may fall under"
    )

    @model_validator(mode="after")
    def _shares_keep_the_floor(self) -> Self:
        if any(not 0 <= share <= 1 for share in self.shares):
            raise ValueError("Expected every share to be in [0, 1]")
        highest = max((*self.shares, self.default_share))
        if highest > 1 - self.real_floor + 1e-9:
            raise ValueError(
                f"Expected shares of at most {1 - self.real_floor:.2f}, which leaves the floor of "
                f"{self.real_floor:.2f} real images, but got {highest}"
            )
        if 0.0 not in self.shares:
            raise ValueError("Expected the share 0 among the shares: it is the arm `real`")
        return self


class GrowthParams(Parameters):
    """How a pool is grown from the training part where there is none yet."""

    prompts: tuple[PromptSpec, ...] = Field(
        (), description="Defects to grow; by default the training part's kinds, as far as known"
    )
    target: int = Field(40, ge=1, le=100_000, description="Accepted images wanted a kind")
    max_sources: int = Field(
        400, ge=8, le=100_000, description="Sound parts to grow from; all defective ones are used"
    )
    max_rounds: int = Field(4, ge=1, le=50, description="Rounds of reject-and-try-again")
    placebo_share: float = Field(0.2, ge=0, lt=1, description="Share of edits that are placebos")


class TrialParams(Parameters):
    """Everything `run_trial` needs."""

    dataset: str = Field(
        min_length=1,
        description="Folder (ok/ and ko/<kind>/, or MVTec AD), or a manifest (.csv, .parquet)",
    )
    pool: str = Field(min_length=1, description="The pool; grown from the training part if new")
    version: str | None = Field(None, description="Version of the pool; default: the latest")
    models: str = Field("tiny", description="Model set: tiny, sd15, or a folder")
    arms: tuple[Arm, ...] = Field(ARMS, min_length=1, description="What is compared")
    seeds: int = Field(5, ge=1, le=100, description="Trainings an arm; each holds out another fold")
    split: SplitParams = SplitParams()
    detector: DetectorParams = DetectorParams()
    price: PriceParams = PriceParams()
    mix: MixParams = MixParams()
    grow: GrowthParams = GrowthParams()
    ingest: IngestParams = IngestParams()
    segment: SegmentParams = SegmentParams()
    max_images: int | None = Field(
        None, ge=20, description="At most so many OK, and as many KO, images a part of the split"
    )
    margin: float = Field(
        0.02, ge=0, le=1, description="Recall a version may lose and still count as not worse"
    )
    promote: bool = Field(
        False, description="Give the version the tag `champion` if the trial shows it not worse"
    )
    robust_ok: int = Field(200, ge=10, description="OK test images that are perturbed, at most")
    robust_ko: int = Field(100, ge=10, description="KO test images that are perturbed, at most")
    resamples: int = Field(1000, ge=50, le=100_000, description="Bootstrap resamples")
    run_seed: int = Field(0, ge=0, lt=2**32, description="Seed that all other seeds derive from")
    batch_size: int = Field(64, ge=1, le=1024, description="Images a mapped task handles")
    workers: int = Field(2, ge=1, le=64, description="Tasks worked on at once on this machine")
    runner: RunnerParams = RunnerParams()
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the models run")
    store: str | None = Field(None, description="Folder of intermediate files; default POOL.store")
    report: str | None = Field(
        None, description="Where the HTML report goes; default trial.html beside the pool"
    )

    @property
    def folds(self) -> int:
        """Folds that the seeds can validate: all of them where there are as many seeds."""
        return min(self.split.folds, max(self.seeds, 2))

    @model_validator(mode="after")
    def _real_is_there(self) -> Self:
        if "real" not in self.arms:
            raise ValueError("Expected the arm `real`: all others are compared with it")
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("Expected each arm once")
        return self


class NightlyParams(Parameters):
    """Everything `nightly` needs; the trial's own parameters name the dataset and the pool."""

    trial: TrialParams = Field(description="The trial, and by it the images, the pool, the mix")
    max_target: int = Field(
        200, ge=1, le=100_000, description="Images grown a kind in one night, at most"
    )
