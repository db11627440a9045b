"""Candidates with known truth: real KO renders stitched into sound ones, and planted faults.

A good candidate is what a perfect inpainter would make: the same part photographed with a defect,
stitched into the sound photograph within a region around the defect.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.ndimage import zoom
from skimage import data

from tasks.describe import describe_batch
from tasks.domain.judging import Judgement
from tasks.domain.parameters import GrowParams, PromptSpec
from tasks.domain.planning import default_region, seed_for
from tasks.domain.records import (
    Bead,
    Candidate,
    Edit,
    KnownPool,
    MaskScore,
    PlannedEdit,
    RegionStrategy,
    RunContext,
    Source,
    content_id,
)
from tasks.domain.region import draw_region
from tasks.domain.window import crop, feather, stitched, window_around
from tasks.factory.captions import PROMPTS
from tasks.factory.render import SOUND, TRAINED_KINDS, render_weld
from tasks.factory.styles import DEMO_PLANT, PlantStyle
from tasks.judge import judge_run
from tasks.measure import measure_batch
from tasks.models.model_set import open_model_set
from tasks.store.files import ContentStore

WINDOW_PX = 64
GROWN_PX = 4


@dataclass(frozen=True)
class Case:
    """A sound picture, an edited one, and where it was edited."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    bead: NDArray[np.bool_]
    region: NDArray[np.bool_]
    kind: str
    seed: int


def good_case(kind: str, seed: int, style: PlantStyle = DEMO_PLANT) -> Case:
    """A real KO render as candidate; what it shows outside region and bead is cut off."""
    sound, flawed = render_weld(style, SOUND, seed), render_weld(style, kind, seed)
    region = ndimage.binary_dilation(flawed.defect_mask, iterations=GROWN_PX) & sound.bead_mask
    box = window_around(region, WINDOW_PX)
    painted = crop(flawed.image_rgb, box).astype(np.float32)
    after = stitched(sound.image_rgb, painted, region, box, 2.0)
    return Case(sound.image_rgb, np.asarray(after, np.uint8), sound.bead_mask, region, kind, seed)


def placed_case(kind: str, seed: int) -> Case:
    """A sound part with an edit region as the pipeline draws it, nothing painted yet."""
    sound = render_weld(DEMO_PLANT, SOUND, seed)
    region = draw_region(
        sound.bead_mask, RegionStrategy.PATCH, np.random.default_rng(seed), WINDOW_PX
    )
    return Case(sound.image_rgb, sound.image_rgb, sound.bead_mask, region, kind, seed)


def _blended(case: Case, content: NDArray[np.floating], feather_px: float = 2.0) -> Case:
    weight = feather(case.region, feather_px)[..., None] if feather_px else case.region[..., None]
    values = case.before + weight * (content - case.before.astype(np.float32))
    after = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return replace(case, after=np.where(case.region[..., None], after, case.before))


def _matched(texture: NDArray[np.floating], case: Case) -> NDArray[np.float32]:
    """A texture given the mean and spread of what it replaces: only its structure is foreign."""
    here = case.before[case.region].astype(np.float32)
    spread = here.mean(axis=1).std()
    grey = (texture - texture[case.region].mean()) / (texture[case.region].std() + 1e-6)
    return here.mean(axis=0) + 2.0 * spread * grey[..., None]


def foreign_texture(case: Case) -> Case:
    """Another material's structure in the bead's own tones: gravel, brick or grass."""
    photo = (data.gravel, data.brick, data.grass)[case.seed % 3]().astype(np.float32)
    small = np.tile(zoom(photo, 1 / 3, order=1), (2, 2))  # its structure at the region's scale
    top = case.seed * 7 % (small.shape[0] - case.region.shape[0])
    height, width = case.region.shape
    return _blended(case, _matched(small[top : top + height, top : top + width], case))


def hard_seam(case: Case) -> Case:
    """A good defect whose patch is 28 grey levels off, without feather."""
    good = good_case(case.kind, case.seed)
    off = 28.0 if case.seed % 2 else -28.0
    shifted = np.clip(good.after.astype(np.float32) + off, 0, 255).astype(np.uint8)
    return replace(good, after=np.where(good.region[..., None], shifted, good.before))


def spill(case: Case) -> Case:
    """A good defect whose surroundings outside the bead were repainted a little too."""
    good = good_case(case.kind, case.seed)
    ring = ndimage.binary_dilation(good.region, iterations=12) & ~good.bead
    noise = np.random.default_rng(case.seed).normal(0, 6, good.after.shape)
    blurred = ndimage.gaussian_filter(good.after.astype(np.float32), (1.5, 1.5, 0)) + noise
    after = np.where(ring[..., None], np.clip(blurred, 0, 255), good.after)
    return replace(good, after=after.astype(np.uint8))


def nothing_changed(case: Case) -> Case:
    """The same surface with its grain drawn anew."""
    again = case.before + np.random.default_rng(case.seed).normal(0, 1.5, case.before.shape)
    return _blended(case, again)


def noise(case: Case) -> Case:
    """Static instead of steel."""
    content = case.before + np.random.default_rng(case.seed).normal(0, 30, case.before.shape)
    return _blended(case, content)


def exotic(case: Case) -> Case:
    """Something that is no weld: a face, a cat, coffee."""
    photo = (data.astronaut, data.chelsea, data.coffee)[case.seed % 3]().astype(np.float32)
    top, left = 60 + case.seed % 40, 150 + case.seed % 60
    content = case.before.astype(np.float32)
    x, y, w, h = window_around(case.region, WINDOW_PX)
    content[y : y + h, x : x + w] = photo[top : top + h, left : left + w]
    return _blended(case, content)


FAULTS: dict[str, Callable[[Case], Case]] = {
    "foreign texture": foreign_texture,
    "hard seam": hard_seam,
    "spill outside the bead": spill,
    "nothing changed": nothing_changed,
    "noise": noise,
    "exotic content": exotic,
}
RIGHT_REASONS: dict[str, tuple[str, ...]] = {
    "foreign texture": ("realism", "s_i", "seam", "histogram", "artifact"),
    "hard seam": ("seam", "histogram"),
    "spill outside the bead": ("inside_share",),
    "nothing changed": ("change", "redundant"),
    "near-duplicate": ("near-duplicate",),
    "noise": ("realism", "s_i", "seam", "histogram", "exotic", "artifact"),
    "exotic content": ("realism", "s_i", "seam", "histogram", "exotic", "bead_iou"),
}


NO_POOL = KnownPool(uri="x", version=None, sha256="0" * 64)


class Bench:
    """Real images of the demo plant described once; judges any cases against them."""

    def __init__(self, folder: Path, models: str, ok: int = 80, ko: int = 24) -> None:
        self.store = ContentStore(str(folder))
        self.models = open_model_set(models)
        self.context = RunContext(
            store_uri=str(folder), store_identity=self.store.identity, models=models,
            models_fingerprint=self.models.fingerprint, device="cpu",
        )  # fmt: skip
        kinds = [SOUND] * ok + [TRAINED_KINDS[i % len(TRAINED_KINDS)] for i in range(ko)]
        welds = [render_weld(DEMO_PLANT, kind, 7_000_000 + i) for i, kind in enumerate(kinds)]
        sources = [self.source(weld.image_rgb, weld.kind) for weld in welds]
        beads = [self.bead(one, weld.bead_mask) for one, weld in zip(sources, welds, strict=True)]
        strategies = list(dict.fromkeys(default_region(kind) for kind in TRAINED_KINDS))
        self.described = describe_batch.fn(sources, beads, strategies, self.context)

    def source(self, image: NDArray[np.uint8], kind: str = SOUND) -> Source:
        ref = self.store.put_image(image)
        return Source(
            id=ref.sha256, name=f"{ref.sha256[:8]}.png", uri="file:///x.png",
            label="OK" if kind == SOUND else "KO", kind=kind, image=ref,
            width_px=image.shape[1], height_px=image.shape[0],
        )  # fmt: skip

    def bead(self, source: Source, mask: NDArray[np.bool_]) -> Bead:
        whole = MaskScore(total=1, elongation=1, contrast=1, homogeneity=1, centring=1)
        return Bead(
            source_id=source.id, mask=self.store.put_mask(mask), score=whole, box_xywh=(0, 0, 1, 1)
        )

    def candidate(self, case: Case) -> Candidate:
        source, region = self.source(case.before), self.store.put_mask(case.region)
        edit = Edit(
            source_id=source.id, kind=case.kind, prompt=PROMPTS[case.kind], negative_prompt="",
            region=RegionStrategy.PATCH, variant=0, seed=seed_for(0, source.id, "x", 0),
            strength=0.5, guidance_scale=3.0, steps=25, is_placebo=False,
        )  # fmt: skip
        image = self.store.put_image(case.after)
        plan = PlannedEdit(
            id=content_id(source.id, image.sha256, region.sha256, edit), edit=edit, source=source,
            bead=self.bead(source, case.bead), region=region,
            window_xywh=window_around(case.region, WINDOW_PX),
        )  # fmt: skip
        return Candidate(
            plan=plan, image=image, making=None, created_at="2026-11-23T00:00:00+00:00",
        )  # fmt: skip

    def judged(self, cases: list[Case]) -> Judgement:
        """The pipeline's own measures and verdicts; budgets are never the limit."""
        return self.verdicts([self.candidate(case) for case in cases])

    def verdicts(self, candidates: list[Candidate], pool: KnownPool = NO_POOL) -> Judgement:
        """The same of candidates made already, beside what a pool holds."""
        measured = measure_batch.fn(candidates, self.context)
        params = GrowParams(
            images="x", pool="x",
            prompts=tuple(
                PromptSpec(kind=kind, prompt=PROMPTS[kind], target=1000) for kind in TRAINED_KINDS
            ),
        )  # fmt: skip
        return judge_run.fn(
            candidates, [measured], [self.described], pool, params, self.context, "test"
        )


def cases_of(make: Callable[[str, int], Case], count: int, first_seed: int) -> list[Case]:
    """Cases over all kinds in turn."""
    return [make(TRAINED_KINDS[i % len(TRAINED_KINDS)], first_seed + i) for i in range(count)]
