"""The real photographs beside the project, as manifests; None where they are not."""

import csv
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared" / "data"


def tile_manifest(out: Path) -> Path | None:
    """Magnetic tiles (Huang et al., abin24/Magnetic-tile-defect-datasets.), grouped by tile."""
    root = SHARED / "magnetic-tile"
    if not root.is_dir():
        return None
    with (root / "groups.csv").open(newline="") as file, out.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["path", "label", "kind", "group", "mask"])
        for row in csv.DictReader(file):
            is_ok = row["label"] == "ok"
            mask = root / "masks" / Path(row["image"]).with_suffix(".png")
            writer.writerow(
                [root / row["image"], "OK" if is_ok else "KO", "" if is_ok else row["label"],
                 row["tile_group"], "" if is_ok else mask]
            )  # fmt: skip
    return out
