"""What an export is asked for, what it tells of each image, and what it reports back."""

from typing import Literal

from pydantic import Field

from tasks.domain.changed_pixels import MaskOrigin
from tasks.domain.errors import BadParameters
from tasks.domain.export_splits import TEST, TRAIN, UNDIVIDED, parsed_shares
from tasks.domain.parameters import Parameters
from tasks.domain.records import Label, Record

ExportFormat = Literal["imagefolder", "coco", "yolo", "mvtec", "parquet", "fiftyone"]


class ExportParams(Parameters):
    """Everything an export needs."""

    format: ExportFormat = Field(description="Whose tools are to read it")
    pool: str = Field(min_length=1, description="The pool's folder or s3:// URI")
    out: str = Field(min_length=1, description="Folder to write, new or an earlier export of it")
    version: str | None = Field(None, description="Version; default: the latest")
    kinds: tuple[str, ...] = Field((), description="Only these kinds of defect; default: all")
    with_placebos: bool = Field(True, description="Placebos too, as sound images")
    with_sources: bool = Field(False, description="The version's real sound images too")
    splits: str | None = Field(
        None, description="Shares of the sources, e.g. train=.8,val=.2, or none to divide nothing"
    )
    group_pattern: str | None = Field(
        None, description="Regular expression on a source's URI whose first group is its part"
    )
    licence: str | None = Field(
        None, min_length=1, max_length=200, description="Terms under which the images are given on"
    )

    @property
    def shares(self) -> dict[str, float]:
        """The share of each split, in order.

        Raises:
            BadParameters: they cannot be read, or the format has no such split.
        """
        if self.splits is None:
            return {TRAIN: 0.8, TEST if self.format == "mvtec" else "val": 0.2}
        shares = parsed_shares(self.splits)
        if self.format == "mvtec" and not set(shares) <= {TRAIN, TEST, UNDIVIDED}:
            raise BadParameters(
                f"Expected train and test, the splits of MVTec AD's layout, but got {self.splits}"
            )
        return {TEST: 1.0} if self.format == "mvtec" and UNDIVIDED in shares else shares


class Provenance(Record):
    """Where an exported image comes from; what only edits have is None for a real image.

    `mask_origin` says whether the defect's mask is the change that the edit made, or its region
    because no change stood out; `none` for sound images. `maker` is who made it, where that was not
    poolstar; the model set measured it then.
    """

    id: str
    source_id: str
    group: str
    split: str
    label: Label
    kind: str
    is_synthetic: bool
    is_placebo: bool
    mask_origin: MaskOrigin
    image_sha256: str
    pool: str
    version: str
    manifest: str
    generation: int | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    region_shape: str | None = None
    seed: int | None = None
    strength: float | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    effective_steps: int | None = None
    s_i: float | None = None
    realism: float | None = None
    utility: float | None = None
    d_plaus: float | None = None
    model_set: str | None = None
    model_set_fingerprint: str | None = None
    maker: str | None = None
    run_id: str | None = None
    painted_on: str | None = None


def provenance_types() -> dict[str, type]:
    """The plain type of each field of a provenance: bool, int, float or str."""
    return {
        name: next((t for t in (bool, int, float) if field.annotation in (t, t | None)), str)
        for name, field in Provenance.model_fields.items()
    }


class ExportResult(Record):
    """What was written: images by split and kind, and how many masks are the region.

    `repaint_floor`: the grey levels that a defect must exceed, by the placebos; 0 without them.
    """

    format: ExportFormat
    folder: str
    version: str
    manifest: str
    images: int
    by_split: dict[str, dict[str, int]]
    repaint_floor: float
    region_masks: int
    files: int
    size_bytes: int
