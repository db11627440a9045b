"""Small pools with real pictures in them, for tests of what is exported and read again."""

from collections.abc import Sequence

import numpy as np
from landed import columns, run_row, source_row
from scipy import ndimage

from tasks.domain.export_records import ExportParams, ExportResult
from tasks.store.archive import Archive
from tasks.store.exports.examples import Example, measured_floor, read_examples
from tasks.store.exports.export import export_pool
from tasks.store.exports.selection import Selection
from tasks.store.images import encoded_png
from tasks.store.rows import PoolRow

HW = (48, 64)
SHAPES = ("ring", "crack", "dots", "corner")


def surface(seed: int) -> np.ndarray:
    """Grey steel with grain."""
    grain = np.random.default_rng(seed).normal(0, 2, (*HW, 3))
    return np.clip(np.rint(130 + grain), 0, 255).astype(np.uint8)


def flaw(shape: str) -> np.ndarray:
    """(H, W): with a hole, thin and bent, in three parts, or touching the image's corner."""
    rows, cols = np.mgrid[: HW[0], : HW[1]]
    radius = np.hypot(rows - 24, cols - 32)
    return {
        "ring": (radius < 14) & (radius > 7),
        "crack": np.abs(rows - 24 - 6 * np.sin(cols / 7)) < 1.6,
        "dots": sum(np.hypot(rows - y, cols - x) < 4 for y, x in ((10, 10), (20, 30), (40, 50)))
        > 0,
        "corner": (rows < 9) & (cols < 11),
    }[shape]


def edited(before: np.ndarray, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a dark flaw, and the region in which that was allowed."""
    region = ndimage.binary_dilation(flaw(shape), iterations=3)
    after = np.where(flaw(shape)[..., None], before // 3, before)
    return after, region


def land_pictures(
    uri, sources: int = 12, kinds: Sequence[str] = ("crack", "pore/../x"), per_source: int = 2,
    sound: int = 6,
) -> None:  # fmt: skip
    """A pool of `sources` pictures, each edited `per_source` times, and `sound` placebos, half of
    them of pictures that have no defect either."""
    edits, sources = sources * per_source, sources + sound
    real = [encoded_png(surface(seed)) for seed in range(sources)]
    names = [f"{seed:02d}" + "ab" * 31 for seed in range(sources)]
    whole = encoded_png(np.ones(HW, dtype=bool))

    def row(number: int, source: int, kind: str, is_placebo: bool) -> PoolRow:
        before = surface(source)
        after, region = edited(before, SHAPES[number % len(SHAPES)])
        return PoolRow(
            **columns(
                f"{number:032x}", source_id=names[source], kind="sound" if is_placebo else kind,
                prompt='a "crack" | <b>', is_placebo=is_placebo, bead_mask=whole,
                image=real[source] if is_placebo else encoded_png(after), mask=encoded_png(region),
            )
        )  # fmt: skip

    rows = [
        row(one * per_source + k, one, kinds[(one + k) % len(kinds)], False)
        for one in range(sources - sound) for k in range(per_source)
    ]  # fmt: skip
    rows += [
        row(edits + one, sources - sound // 2 - one - 1, "sound", True) for one in range(sound)
    ]
    Archive(str(uri)).land(
        run_row("r1"), pool=rows, rejected=[], embedding_dim=8,
        sources=[
            source_row(name, uri=f"/plant/tile{at // 3}_{at}.png", bytes=data)
            for at, (name, data) in enumerate(zip(names, real, strict=True))
        ],
    )  # fmt: skip


def exported(form: str, pool, out, **changes) -> ExportResult:
    """What the command writes."""
    return export_pool(ExportParams(format=form, pool=str(pool), out=str(out), **changes))


def examples_of(form: str, pool, **changes) -> dict[str, Example]:
    """What the exports are written from, by file stem."""
    params = ExportParams(format=form, pool=str(pool), out="x", **changes)
    chosen = Selection(params)
    return {one.stem: one for one in read_examples(chosen, measured_floor(chosen))}


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union; 1 when both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
