"""Every parameter of a run: frozen, bounded, described; the Prefect form is built from them.

Defaults are the article's where it gives one (section numbers in the descriptions).
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.domain.errors import BadParameters
from tasks.domain.places import without_credentials, writable
from tasks.domain.records import SOUND, UNNAMED_KIND, RegionStrategy

Share = Field(ge=0.0, le=1.0)


def _number_fields(schema: dict[str, Any]) -> None:
    """Tell the Prefect form the order of fields: PostgreSQL keeps JSON in an order of its own."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field.setdefault("position", position)


class Parameters(BaseModel):
    """Base: immutable, and an unknown field is an error rather than a silent typo."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_number_fields)

    @field_validator("*", mode="before")
    @classmethod
    def _holds_no_credentials(cls, value: object) -> object:
        return without_credentials(value) if isinstance(value, str) else value

    @field_validator("pool", "store", "report", mode="before", check_fields=False)
    @classmethod
    def _can_be_written(cls, value: object) -> object:
        return writable(value) if isinstance(value, str) else value


class IngestParams(Parameters):
    """Which files may become sources."""

    max_pixels: int = Field(
        50_000_000,
        ge=4096,
        description="Largest image accepted, in pixels; checked before decoding",
    )
    min_side_px: int = Field(64, ge=16, description="Smallest side accepted, in pixels")


class SegmentParams(Parameters):
    """Finding the bead with SAM (article 3.1), or where a fixed camera shows what is inspected."""

    surface: Literal["bead", "whole", "mask"] = Field(
        "bead",
        description="What is inspected: the weld bead, the whole part in the image, or a mask",
    )
    mask: str | None = Field(
        None,
        min_length=1,
        description="File of the inspected surface's mask, for all images, which are of its size",
    )
    weight_elongation: float = Field(0.35, ge=0, le=1, description="Weight of elongation in S_mask")
    weight_contrast: float = Field(0.30, ge=0, le=1, description="Weight of contrast in S_mask")
    weight_homogeneity: float = Field(0.20, ge=0, le=1, description="Weight of homogeneity")
    weight_centring: float = Field(0.15, ge=0, le=1, description="Weight of centring in S_mask")
    min_s_mask: float = Field(0.65, ge=0, le=1, description="A mask is a bead above this S_mask")
    points_per_side: int = Field(16, ge=4, le=64, description="SAM's grid of prompts, per side")
    max_side_px: int = Field(1024, ge=128, description="Images are segmented at most this large")

    @model_validator(mode="after")
    def _mask_where_it_is_used(self) -> Self:
        if (self.surface == "mask") != (self.mask is not None):
            raise ValueError(
                f"Expected a mask exactly with the surface `mask`, but got surface {self.surface} "
                f"and {'no mask' if self.mask is None else f'mask {self.mask}'}"
            )
        return self

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> Self:
        total = (
            self.weight_elongation
            + self.weight_contrast
            + self.weight_homogeneity
            + self.weight_centring
        )
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"Expected the four S_mask weights to sum to 1, but got {total:.3f}")
        return self


class InpaintParams(Parameters):
    """Painting the defect (article 3.2); None takes the model set's own default."""

    strength: float | None = Field(
        None, gt=0, le=1, description="Share of the diffusion run again; the article's is 0.35"
    )
    guidance_scale: float | None = Field(
        None, ge=1, le=30, description="Weight of the prompt; the article's is 7.5"
    )
    steps: int = Field(25, ge=1, le=200, description="Denoising steps before strength cuts them")
    feather_px: float = Field(
        2.0, ge=0, le=16, description="Blend inside the region's edge, pixels"
    )
    strength_ladder: tuple[float, ...] = Field(
        (), description="Strengths for the second, third, ... attempt; empty keeps the first"
    )

    @model_validator(mode="after")
    def _ladder_in_range(self) -> Self:
        if any(not 0 < s <= 1 for s in self.strength_ladder):
            raise ValueError("Expected every strength in strength_ladder to be in (0, 1]")
        return self


class PlausibleParams(Parameters):
    """Gate 1 (article 3.5). Typicalities: 1 typical, .7 at q95 of real images, 0 at 2 q99."""

    min_bead_iou: float = Field(
        0.8, ge=0, le=1, description="IoU of the bead found again with the bead before the edit"
    )
    min_inside_share: float = Field(
        0.99, ge=0, le=1, description="Share of the change that must lie inside the bead"
    )
    min_histogram: float = Field(
        0.35, ge=0, le=1, description="Typicality of intensities and colour among real beads"
    )
    min_seam: float = Field(
        0.6, ge=0, le=1, description="Typicality of the gradient across the region's border"
    )
    min_change: float = Field(
        3.0, ge=0, description="Mean change inside the region, in multiples of the sensor grain"
    )


class ScoreParams(Parameters):
    """S_i = l1 R_i + l2 U_i (article 3.3) and D_plaus = a D_CLIP + b D_phys (3.6)."""

    weight_realism: float = Field(0.5, ge=0, le=1, description="l1; l2 is 1 - l1")
    min_s_i: float = Field(0.7, ge=0, le=1, description="A candidate is kept above this S_i")
    min_realism: float = Field(
        0.45, ge=0, le=1, description="R_i a candidate must reach however novel it is"
    )
    weight_clip: float = Field(0.5, ge=0, le=1, description="a in D_plaus; b is 1 - a")


class DeduplicateParams(Parameters):
    """Merging near-duplicates (article 3.4)."""

    max_cosine: float = Field(0.995, ge=0, le=1, description="Above it two images are one")


class UsefulParams(Parameters):
    """Gate 2: a diverse subset within the budget (article 3.5)."""

    method: Literal["k_center", "dpp"] = Field("k_center", description="How the budget is spent")


class HonestParams(Parameters):
    """Gate 3: artifacts and ablation (article 3.5)."""

    max_synthetic_probability: float = Field(
        0.95, ge=0.5, le=1, description="Above it the real-vs-synthetic classifier is sure"
    )
    alarm_auc: float = Field(
        0.8, ge=0.5, le=1, description="The run is flagged when the classifier's AUC exceeds this"
    )
    min_ablation_drop: float = Field(
        0.05, ge=0, le=1, description="KO score lost when the region is restored; less is no defect"
    )
    max_placebo_rise: float = Field(
        0.25, ge=0, le=1, description="KO score a placebo may gain; more is an artifact"
    )
    min_ko: int = Field(8, ge=2, description="KO images needed for a two-class KO probe")


class EnergyParams(Parameters):
    """What energy is assumed where no counter can be read, and which prompts waste it."""

    watts: float = Field(
        70.0, gt=0, le=100_000, description="Mean power in watts; the article's GPU takes 70"
    )
    max_prompt_cosine: float = Field(
        0.95, ge=0, le=1, description="Prompts whose embeddings are more alike may be redundant"
    )


class LoopParams(Parameters):
    """The guard against the loop: generate, train on it, generate again."""

    allow_generation: int = Field(
        0,
        ge=0,
        description="Highest generation that may be grown; above 0: by a set that learned from "
        "generated images",
    )
    max_divergence: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Jensen-Shannon divergence (bits) from the real images above which it alarms, "
        "the interval's lower end",
    )
    min_fresh_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Real images no version knew before, of all a run grew from; fewer alarm. "
        "From generation 1 on one half is asked at least",
    )
    draws: int = Field(300, ge=50, le=100_000, description="Bootstrap resamples")


class RunnerParams(Parameters):
    """Where the tasks of a run are worked on."""

    kind: Literal["threads", "dask", "ray"] = Field(
        "threads", description="Threads of this process, or the processes of a Dask or Ray cluster"
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="Of a cluster that runs (tcp://host:8786, ray://host:10001); by default as "
        "many processes on this machine as there are workers",
    )
    gpus: float = Field(
        0,
        ge=0,
        le=16,
        description="GPUs that a task tagged `gpu` asks of the cluster (Ray: num_gpus, Dask: "
        "resource GPU); 0 on CPUs",
    )

    @model_validator(mode="after")
    def _cluster_where_it_is_used(self) -> Self:
        if self.kind == "threads" and (self.address is not None or self.gpus):
            raise ValueError(
                "Expected an address, or GPUs to ask for, with the runner dask or ray alone, but "
                "the runner is threads"
            )
        return self


class PromptSpec(Parameters):
    """One defect to grow: what to paint, and how many to keep."""

    kind: str = Field(description="Name of the kind of defect, as it will stand in the pool")
    prompt: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="What the inpainter is asked for; default: the model set's words for the kind",
    )
    negative_prompt: str = Field("", max_length=500, description="What it should avoid")
    target: int = Field(20, ge=1, le=100_000, description="Accepted images wanted of this prompt")
    region: RegionStrategy | None = Field(
        None,
        description="Shape of the edited region; default: like the real defects the model set "
        "learned of the kind, or the one that suits the kind",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("Expected a prompt with words in it, but got only blanks")
        if not self.kind.strip() or self.kind == SOUND:
            raise ValueError(f"Expected the name of a defect as kind, but got {self.kind!r}")
        return self

    @property
    def words(self) -> str:
        """The prompt, once it is settled (`with_words`); BadParameters before."""
        if self.prompt is None:
            raise BadParameters(f"Expected a prompt for the kind {self.kind}, but it has none yet")
        return self.prompt


class PoolParams(Parameters):
    """What every run needs that ends in a version: a pool, models and gates."""

    pool: str = Field(
        min_length=1,
        description="The pool's folder or s3:// URI; deployed runs want absolute paths",
    )
    models: str = Field("tiny", description="Model set: tiny, sd15, or a folder")
    run_seed: int = Field(0, ge=0, lt=2**63, description="Seed that all other seeds derive from")
    batch_size: int = Field(32, ge=1, le=256, description="Images a mapped task handles")
    workers: int = Field(1, ge=1, le=64, description="Batches worked on at once on this machine")
    runner: RunnerParams = RunnerParams()
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the models run")
    store: str | None = Field(
        None, description="Folder of intermediate files; by default POOL.store beside the pool"
    )
    report: str | None = Field(
        None, description="Where the HTML report goes; by default report.html beside the pool"
    )
    ingest: IngestParams = IngestParams()
    segment: SegmentParams = SegmentParams()
    plausible: PlausibleParams = PlausibleParams()
    score: ScoreParams = ScoreParams()
    deduplicate: DeduplicateParams = DeduplicateParams()
    useful: UsefulParams = UsefulParams()
    honest: HonestParams = HonestParams()
    energy: EnergyParams = EnergyParams()
    loop: LoopParams = LoopParams()

    @property
    def budgets(self) -> tuple[PromptSpec, ...]:
        """How many are wanted of each prompt; nothing where all that pass are welcome."""
        return ()


class Growth(PoolParams):
    """How a pool is grown, whatever the images."""

    prompts: tuple[PromptSpec, ...] = Field(
        min_length=1, description="The defects to grow", json_schema_extra={"position": -1}
    )
    sound_prompt: str | None = Field(
        None, min_length=1, description="The placebos' prompt; default: the model set's own"
    )
    placebo_share: float = Field(0.15, ge=0, lt=1, description="Share of edits that are placebos")
    max_rounds: int = Field(3, ge=1, le=50, description="Rounds of reject-and-try-again")
    oversample: float = Field(
        1.4, ge=1, le=20, description="Candidates made per accepted image still missing"
    )
    inpaint: InpaintParams = InpaintParams()

    @property
    def budgets(self) -> tuple[PromptSpec, ...]:
        """The prompts with their targets."""
        return self.prompts

    @property
    def sound_words(self) -> str:
        """The placebos' prompt, once it is settled (`with_words`); BadParameters before."""
        if self.sound_prompt is None:
            raise BadParameters("Expected a prompt for placebos, but there is none yet")
        return self.sound_prompt


class RunParams(PoolParams):
    """A run on real images that ends in a version."""

    images: str = Field(
        min_length=1,
        description="Folder of real images: flat (all sound), or ok/ and ko/<kind>/; or a manifest",
        json_schema_extra={"position": -2},  # first in the Prefect form
    )


class GrowParams(Growth, RunParams):
    """Everything `grow_pool` needs."""


class JudgeParams(RunParams):
    """Everything `judge_candidates` needs; `images` are the real ones it is judged against."""

    candidates: str = Field(
        min_length=1,
        description="Folder with sources/ and candidates/, or a manifest of sources and candidates",
    )
    kind: str = Field(
        UNNAMED_KIND, min_length=1, description="Kind of defect where the pair names none"
    )
    maker: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Who or what made the candidates, where the manifest does not say",
    )
    generation: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="0: made from real images by a person, or by a generator that learned from "
        "real ones alone; null: unknown, which keeps them out of trials",
    )


class FactoryParams(Parameters):
    """What the simulated plant photographs."""

    out: str = Field(min_length=1, description="Folder to write to; must not hold images yet")
    ok: int = Field(80, ge=0, le=100_000, description="Sound parts")
    ko: int = Field(24, ge=0, le=100_000, description="Defective parts, spread over the kinds")
    kinds: tuple[str, ...] = Field((), description="Kinds of the defective parts; default: all six")
    seed: int = Field(0, ge=0, lt=2**32, description="Another seed, other parts of the same plant")
    plant: Literal["demo", "other"] = Field("demo", description="Which plant; both are held out")
    side_px: int = Field(256, ge=64, le=4096, description="Side of the images, pixels")
    batch_size: int = Field(64, ge=1, le=1024, description="Images a mapped task renders")
