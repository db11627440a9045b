"""The frozen records that stages pass to each other; pixels travel as refs, never by value."""

import hashlib
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Label = Literal["OK", "KO"]
SOUND = "sound"
UNNAMED_KIND = "defect"


class Record(BaseModel):
    """Base of all records: immutable, no unknown field, hashable by value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def digest(self) -> str:
        """The sha256 (hex) of the record's canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class RegionStrategy(StrEnum):
    """How the editable region M is drawn inside the bead."""

    BEAD = "bead"
    BAND = "band"
    CRACK = "crack"
    PORES = "pores"
    PATCH = "patch"
    TOE = "toe"
    LEARNED = "learned"


class Stage(StrEnum):
    """The stages a verdict can come from, in pipeline order."""

    INGEST = "ingest"
    SEGMENT = "segment"
    ADOPT = "adopt"
    REGION = "region"
    INPAINT = "inpaint"
    PLAUSIBLE = "plausible"
    DEDUPLICATE = "deduplicate"
    SCORE = "score"
    USEFUL = "useful"
    HONEST = "honest"
    LAND = "land"


class Ref(Record):
    """Bytes in the content-addressed store, named by their sha256."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    uri: str


class KnownPool(Record):
    """The version of a pool that a run begins from; `sha256` is of its ids and embeddings."""

    uri: str
    version: str | None
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SourceFile(Record):
    """A file as listed, before it is read; size and time stand for its content in cache keys.

    `split` is empty, `train`, `test` or `ood:<name>`; `group` names the part it shows; `mask` is
    the path of its defect's mask, `boxes` its defects' boxes in pixels where there is no mask.
    """

    path: str
    name: str
    label: Label
    kind: str
    size_bytes: int
    modified_ns: int
    split: str = ""
    group: str = ""
    mask: str | None = None
    boxes: tuple[tuple[int, int, int, int], ...] = Field(
        (), description="x, y, width, height of each"
    )


class PairFile(Record):
    """A candidate made elsewhere with its source, as listed, before either is read.

    `mask` is the path of the edited region's mask, where it is given; `stamps` are size and time
    of its files, which stand for their content in cache keys.
    """

    name: str
    source: str
    candidate: str
    mask: str | None
    kind: str
    prompt: str
    maker: str
    generation: int | None
    stamps: tuple[tuple[int, int], ...]


class Source(Record):
    """A real image that was decoded and accepted; id is the sha256 of its bytes.

    `defect` is the mask of its defect where one is known, at the image's size.
    """

    id: str
    name: str
    uri: str
    label: Label
    kind: str
    image: Ref
    width_px: int
    height_px: int
    defect: Ref | None = None


class Pair(Record):
    """A candidate made elsewhere and its source, both decoded and of one size and depth.

    `image` is its pixels as PNG, `file_sha256` names the file they came in.
    """

    file: PairFile
    source: Source
    image: Ref
    file_sha256: str
    mask: Ref | None


class Refusal(Record):
    """Something that left the pipeline, where and why; a value, never an exception."""

    subject: str
    stage: Stage
    reason: str


class MaskScore(Record):
    """S_mask and its four parts, each in [0, 1], higher is more bead-like."""

    total: float
    elongation: float
    contrast: float
    homogeneity: float
    centring: float


class Bead(Record):
    """The weld seam of one source: its mask as a 1-channel PNG at the image's size."""

    source_id: str
    mask: Ref
    score: MaskScore
    box_xywh: tuple[int, int, int, int]


class Edit(Record):
    """What to do to a source; `variant` counts attempts on the same (source, prompt)."""

    source_id: str
    kind: str
    prompt: str
    negative_prompt: str
    region: RegionStrategy
    variant: int
    seed: int
    strength: float
    guidance_scale: float
    steps: int
    is_placebo: bool


class PlannedEdit(Record):
    """An edit with its region drawn, by reference."""

    id: str
    edit: Edit
    source: Source
    bead: Bead
    region: Ref
    window_xywh: tuple[int, int, int, int]


class Painting(Record):
    """All that an edit's pixels depend on, beside model set and `Making`: it stands in every row.

    `image` is the source's bytes, `region` the mask of M.
    """

    image: Ref
    region: Ref
    window_xywh: tuple[int, int, int, int]
    prompt: str
    negative_prompt: str
    seed: int
    strength: float = Field(gt=0, le=1)
    guidance_scale: float = Field(ge=0)
    steps: int = Field(ge=1)


class Making(Record):
    """The circumstances of painting that change pixels; with them a row can be painted again.

    `threads` and `device_batch` decide in which order floating point adds up. `algorithm` is the
    version of stage `inpaint`.
    """

    algorithm: int
    feather_px: float = Field(ge=0)
    device: str
    dtype: str
    hardware: str
    threads: int = Field(ge=1)
    device_batch: int = Field(ge=1)
    libraries: dict[str, str]


class ForeignEdit(Record):
    """What is known of a change that was made elsewhere: what its maker told, and no more.

    `name` and `file_sha256` are those of the candidate's file; `region` says whether its mask was
    given or derived from the difference; `generation` is None where the maker's lineage is unknown.
    """

    source_id: str
    kind: str
    prompt: str
    maker: str
    generation: int | None
    name: str
    file_sha256: str
    region: Literal["given", "derived"]

    @property
    def is_placebo(self) -> bool:
        """Whether it is meant to show a sound bead."""
        return self.kind == SOUND


class ForeignPlan(Record):
    """A foreign edit with its region, by reference; the counterpart of a PlannedEdit."""

    id: str
    edit: ForeignEdit
    source: Source
    bead: Bead
    region: Ref
    window_xywh: tuple[int, int, int, int]


class Candidate(Record):
    """A source after an edit, not yet judged.

    `making` is None for one made elsewhere; its `created_at` is when it came in.
    """

    plan: PlannedEdit | ForeignPlan
    image: Ref
    making: Making | None
    created_at: str

    @property
    def id(self) -> str:
        """The candidate's id: of an own one the hash of source, region, edit and model set; of a
        foreign one that of source, pixels, region and edit."""
        return self.plan.id


class Verdict(Record):
    """Accepted, or the stage that refused and every reason it gave."""

    candidate_id: str
    accepted: bool
    stage: Stage | None = None
    reasons: tuple[str, ...] = ()
    merged_into: str | None = None

    @model_validator(mode="after")
    def _reasons_if_refused(self) -> Self:
        if self.accepted == bool(self.reasons) or self.accepted != (self.stage is None):
            raise ValueError("Expected a stage and reasons exactly when refused")
        return self


class Scores(Record):
    """All scores of one candidate; ranges and formulas stand in the modules named.

    `gates` holds every gate figure by name (calibrated typicalities and raw values).
    """

    candidate_id: str
    s_i: float
    realism: float
    utility: float
    d_plaus: float
    gates: dict[str, float]


class Judged(Record):
    """A candidate with its scores and verdict, ready to land."""

    candidate: Candidate
    scores: Scores
    verdict: Verdict
    merged_ids: tuple[str, ...] = ()


def content_id(*parts: Any) -> str:
    """A 32-hex-digit id from records and plain values; equal parts give equal ids."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part.model_dump_json() if isinstance(part, BaseModel) else repr(part)
        digest.update(len(text.encode()).to_bytes(8, "big"))
        digest.update(text.encode())
    return digest.hexdigest()


class RunContext(Record):
    """What every stage needs to find its files and models; part of every cache key.

    `store_identity` changes when a store is made anew, so that no cached ref can dangle.
    `surface_mask` is the inspected surface in all images, where it is given as a mask.
    """

    store_uri: str
    store_identity: str
    models: str
    models_fingerprint: str
    device: Literal["auto", "cpu", "cuda"] = "auto"
    surface_mask: Ref | None = None
