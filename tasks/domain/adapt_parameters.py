"""Every parameter of an adaptation: what to learn, for how long, and how it is judged."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.domain.adaptation_verdict import VerdictParams
from tasks.domain.parameters import (
    IngestParams,
    InpaintParams,
    Parameters,
    RunnerParams,
    SegmentParams,
)
from tasks.domain.records import SOUND


class KindWords(Parameters):
    """One kind of defect and the words it is taught by."""

    kind: str = Field(min_length=1, description="The kind, as the images' folder or manifest names")
    prompt: str | None = Field(
        None, min_length=1, max_length=500, description="Its words; by default from its name"
    )

    @model_validator(mode="after")
    def _is_a_defect(self) -> Self:
        if not self.kind.strip() or self.kind == SOUND:
            raise ValueError(f"Expected the name of a defect as kind, but got {self.kind!r}")
        return self


class LearningParams(Parameters):
    """How the weights are trained."""

    steps: int | None = Field(
        None, ge=1, description="Steps of the inpainter; by default as many as the time allows"
    )
    decoder_steps: int | None = Field(
        None, ge=0, description="Steps of the autoencoder's decoder; 0 leaves it as it is"
    )
    decoder_share: float = Field(0.2, ge=0, lt=1, description="Share of the time for the decoder")
    batch_size: int | None = Field(
        None, ge=1, le=256, description="Windows a step; by default 16, 2 of a large base"
    )
    learning_rate: float = Field(3e-4, gt=0, le=0.1, description="Peak of the one-cycle schedule")
    sound_share: float = Field(
        0.4, ge=0, le=1, description="Sound windows in every batch; they preserve the surface"
    )
    caption_dropout: float = Field(0.1, ge=0, lt=1, description="Captions left empty, for guidance")
    check_every: int = Field(100, ge=1, description="Steps between two looks at held-out windows")
    lora_rank: int | None = Field(
        None,
        ge=0,
        le=256,
        description="Rank of LoRA in the UNet's attention; 0 trains every weight; by default 0 "
        "for a small base, 16 for one of 100 million weights or more",
    )
    ok_windows: int = Field(6, ge=1, le=1000, description="Windows cut of a sound image")
    ko_windows: int = Field(24, ge=1, le=1000, description="Windows cut of a defective image")
    copies: int = Field(2, ge=1, le=100, description="Times each window is turned and lit anew")


class FairParams(Parameters):
    """Changes of a window that are physically fair: the light and the tooling must allow them."""

    flip_rows: bool = Field(True, description="Upside down")
    flip_columns: bool = Field(True, description="Left to right")
    quarter_turns: bool = Field(False, description="Turned by 90 degrees: no direction is special")
    light: float = Field(0.1, ge=0, le=1, description="Spread of the log of the light's strength")


class SelfJudgementParams(VerdictParams):
    """How the adapted set is compared with its base on parts that it has not seen."""

    holdout_share: float = Field(
        0.2, gt=0, le=0.5, description="Share of the parts (groups) of each kind held out"
    )
    edits: int = Field(32, ge=8, le=1000, description="Edits painted a kind, by base and adapted")
    placebos: int = Field(32, ge=8, le=1000, description="Sound edits painted by both")
    similarity: float = Field(
        0.98, gt=0, le=1, description="Cosine and aligned correlation from which it is a repeat"
    )
    draws: int = Field(500, ge=50, le=100_000, description="Bootstrap resamples")


class AdaptParams(Parameters):
    """Everything `adapt_generator` needs."""

    images: str = Field(
        min_length=1,
        description="Real images: flat (all sound), ok/ and ko/<kind>/, or a manifest with masks, "
        "boxes and groups; of a divided dataset the training part alone is read",
    )
    out: str = Field(min_length=1, description="Folder of the new model set; must not exist yet")
    base: str = Field("tiny", description="Model set to begin with: tiny, sd15, or a folder")
    kinds: tuple[KindWords, ...] = Field((), description="Kinds to learn; by default all there are")
    sound_prompt: str | None = Field(
        None, min_length=1, description="The sound surface in words; by default the base's"
    )
    pools: tuple[str, ...] = Field(
        (), description="Pools whose own images are recognised among these, and left out"
    )
    allow_synthetic: bool = Field(
        False, description="Learn from them; the set then makes images of a later generation"
    )
    real_floor: float = Field(
        0.5, gt=0, le=1, description="Share of real images, at least, among those learned from"
    )
    minutes: float = Field(20.0, gt=0, le=10_000, description="Time for learning and judging")
    learning: LearningParams = LearningParams()
    fair: FairParams = FairParams()
    judgement: SelfJudgementParams = SelfJudgementParams()
    ingest: IngestParams = IngestParams()
    segment: SegmentParams = SegmentParams()
    inpaint: InpaintParams = InpaintParams()
    run_seed: int = Field(0, ge=0, lt=2**32, description="Seed that all other seeds derive from")
    batch_size: int = Field(32, ge=1, le=256, description="Images a mapped task handles")
    workers: int = Field(1, ge=1, le=64, description="Batches worked on at once on this machine")
    runner: RunnerParams = RunnerParams()
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the models run")
    store: str | None = Field(
        None, description="Folder of intermediate files and checkpoints; by default OUT.store"
    )
    report: str | None = Field(None, description="Where the HTML report goes; default OUT.html")

    @model_validator(mode="after")
    def _kinds_once(self) -> Self:
        names = [one.kind for one in self.kinds]
        if len(set(names)) < len(names):
            raise ValueError("Expected each kind once")
        return self
