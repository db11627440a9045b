"""Render: images of the simulated plant, with the masks of their defects beside them."""

from collections.abc import Sequence
from pathlib import Path

from prefect import task

from tasks.domain.errors import BadParameters
from tasks.domain.parameters import FactoryParams
from tasks.domain.records import SOUND, Record
from tasks.factory.render import TRAINED_KINDS, render_weld
from tasks.factory.styles import DEMO_PLANT, OTHER_PLANT
from tasks.store.images import encoded_png

PLANTS = {"demo": DEMO_PLANT, "other": OTHER_PLANT}


class Part(Record):
    """One part to photograph: its kind, its seed, and its place below the output folder."""

    kind: str
    seed: int
    name: str


def list_parts(params: FactoryParams) -> list[Part]:
    """The parts of a shift, sound ones first, kinds in turn.

    Raises:
        BadParameters: the folder holds something already.
    """
    out = Path(params.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadParameters(f"Expected an empty or new folder, but {params.out!r} is not")
    defects = params.kinds or TRAINED_KINDS
    kinds = [SOUND] * params.ok + [defects[i % len(defects)] for i in range(params.ko)]
    first = params.seed * 1_000_000
    return [
        Part(kind=kind, seed=first + i, name=f"{_folder(kind)}/{i:05d}.png")
        for i, kind in enumerate(kinds)
    ]


def _folder(kind: str) -> str:
    return "ok" if kind == SOUND else f"ko/{kind}"


@task(task_run_name="render {parts[0].name} +")
def render_batch(parts: Sequence[Part], params: FactoryParams) -> int:
    """Photograph the parts; returns how many were written."""
    out = Path(params.out)
    for part in parts:
        weld = render_weld(
            PLANTS[params.plant],
            part.kind,
            part.seed,
            height_px=params.side_px,
            width_px=params.side_px,
        )
        _write(out / part.name, encoded_png(weld.image_rgb))
        if part.kind != SOUND:
            name = Path(part.name).name
            _write(out / "masks" / part.kind / name, encoded_png(weld.defect_mask))
    return len(parts)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
