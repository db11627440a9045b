"""The photographs beside the project as divided datasets; tests that need them skip without."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_photographs = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the real photographs in ../shared/data"
)
PORES_OVERLAPPING = 2  # crops that may show one place
TILE_LIMITS = {"crack": 15, "blowhole": 25}


def magnetic_tiles(folder: Path, seed: int = 0) -> Path:
    """A manifest of the magnetic tiles (Huang et al.), divided by tile group.

    Training holds at most 15 cracks and 25 blowholes and half of the sound tiles.
    """
    root = DATA / "magnetic-tile"
    rows = list(csv.DictReader((root / "groups.csv").open()))
    rng = np.random.default_rng(seed)
    training: set[str] = set()
    for label in ("crack", "blowhole", "ok"):
        own = [row for row in rows if row["label"] == label]
        limit = TILE_LIMITS.get(label, len(own) // 2)
        count = sum(row["tile_group"] in training for row in own)
        for group in rng.permutation(sorted({row["tile_group"] for row in own})):
            size = sum(row["tile_group"] == group for row in own)
            if group not in training and count + size <= limit:
                training.add(str(group))
                count += size
    lines = []
    for row in rows:
        is_ko = row["label"] != "ok"
        stem = Path(row["image"]).stem
        lines.append(
            {
                "path": str(root / row["image"]),
                "label": "KO" if is_ko else "OK",
                "kind": row["label"] if is_ko else "",
                "group": row["tile_group"],
                "split": "train" if row["tile_group"] in training else "test",
                "mask": str(root / "masks" / row["label"] / f"{stem}.png") if is_ko else "",
            }
        )
    return _manifest(folder / "tiles.csv", lines)


def lohi_crops(folder: Path, side_px: int = 96, seed: int = 0) -> Path:
    """A manifest of square crops of the laser welds (LoHi-WELD), divided by image.

    Defective crops hold a pore, given by its box; sound ones touch no box of any kind.
    """
    root = DATA / "lohi-weld"
    rng = np.random.default_rng(seed)
    names = sorted(path.stem for path in (root / "images").glob("*.jpg"))
    training = set(rng.permutation(names)[: len(names) // 2].tolist())
    lines = []
    for name in names:
        image = Image.open(root / "images" / f"{name}.jpg")
        boxes = _yolo_boxes(root / "labels_yolo" / f"{name}.txt", image.size)
        for kind, crop_xywh, inside in _crops(boxes, image.size, side_px, rng):
            part = folder / "crops" / f"{name}_{crop_xywh[0]}_{crop_xywh[1]}_{kind}.png"
            part.parent.mkdir(parents=True, exist_ok=True)
            x, y, w, h = crop_xywh
            image.crop((x, y, x + w, y + h)).save(part)
            lines.append(
                {
                    "path": str(part),
                    "label": "OK" if kind == "ok" else "KO",
                    "kind": "" if kind == "ok" else kind,
                    "group": name,
                    "split": "train" if name in training else "test",
                    "box": "; ".join(" ".join(map(str, box)) for box in inside),
                }
            )
    return _manifest(folder / "lohi.csv", lines)


def _crops(
    boxes: list[tuple[int, tuple[int, int, int, int]]],
    size_wh: tuple[int, int],
    side_px: int,
    rng: np.random.Generator,
) -> list[tuple[str, tuple[int, int, int, int], list[tuple[int, int, int, int]]]]:
    """Crops about pores, few of one cluster, and sound ones, as (kind, crop, boxes inside)."""
    width, height = size_wh
    side = min(side_px, width, height)
    found = []
    for label, (x, y, w, h) in boxes:
        if label == 0 and max(w, h) < 0.8 * side:
            left = int(np.clip(x + w // 2 - side * rng.uniform(0.3, 0.7), 0, width - side))
            top = int(np.clip(y + h // 2 - side * rng.uniform(0.3, 0.7), 0, height - side))
            crop = (left, top, side, side)
            if sum(_cut(crop, other) is not None for _, other, _ in found) >= PORES_OVERLAPPING:
                continue
            inside = [
                cut for other, box in boxes if other == 0 and (cut := _cut(box, crop)) is not None
            ]
            found.append(("pore", crop, inside))
    for _ in range(60):
        left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        crop = (left, top, side, side)
        others = [box for _, box in boxes] + [box for kind, box, _ in found if kind == "ok"]
        if all(_cut(box, crop) is None for box in others):
            found.append(("ok", crop, []))
    return found


def _cut(
    box: tuple[int, int, int, int], crop: tuple[int, int, int, int]
) -> tuple[int, int, int, int] | None:
    """A box in the crop's coordinates, cut at its edges; None where it lies outside."""
    left, top = max(box[0], crop[0]), max(box[1], crop[1])
    right = min(box[0] + box[2], crop[0] + crop[2])
    bottom = min(box[1] + box[3], crop[1] + crop[3])
    if right - left < 1 or bottom - top < 1:
        return None
    return left - crop[0], top - crop[1], right - left, bottom - top


def _yolo_boxes(
    path: Path, size_wh: tuple[int, int]
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Class and pixel box (x, y, w, h) of each line of a YOLO label file."""
    found = []
    for line in path.read_text().splitlines():
        label, *centre = line.split()
        x, y, w, h = (float(v) * size_wh[i % 2] for i, v in enumerate(centre))
        found.append((int(label), (round(x - w / 2), round(y - h / 2), round(w), round(h))))
    return found


def _manifest(path: Path, lines: list[dict[str, str]]) -> Path:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(buffer.getvalue())
    return path
