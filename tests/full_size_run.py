"""grow_pool on the full-size set, unchanged, in its own process: time and peak memory a stage."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from real_data import SHARED

SIZE_PX = (2048, 1536)


def write_photographs(folder: Path, count: int) -> Path | None:
    """Photographs of welds, enlarged 1.6 times from 1280x960; None where they are not."""
    folder.mkdir(parents=True, exist_ok=True)
    found = 0
    for path in sorted((SHARED / "weld-photos").rglob("*.jpg")):
        image = Image.open(path).convert("RGB")
        if image.size == (1280, 960) and found < count:
            image.resize(SIZE_PX, Image.Resampling.BICUBIC).save(folder / f"{path.stem}.png")
            found += 1
    return folder if found == count else None


def _peak_gb() -> float:
    """Largest resident memory since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def watched_stages() -> list[dict[str, Any]]:
    """A list that every stage executed from now on adds itself to."""
    from tasks.meter import Meter

    stages: list[dict[str, Any]] = []
    start, stop = Meter.start, Meter.stop

    def starting(self: Meter, stage: str) -> Any:
        _reset_peak()
        return start(self, stage)

    def stopping(self: Meter, one: Any) -> Any:
        cost = stop(self, one)
        stages.append({"stage": cost.stage, "seconds": cost.seconds, "peak_gb": _peak_gb()})
        return cost

    Meter.start, Meter.stop = starting, stopping
    return stages


def segmented(params: Any) -> dict[str, Any]:
    """SAM on the first photograph, all models of the run resident: time, peak, what it found."""
    from tasks.domain.parameters import SegmentParams
    from tasks.models.loading import segmenter
    from tasks.models.model_set import open_model_set
    from tasks.segment import find_bead

    models, first = open_model_set(params.models), sorted(Path(params.images).iterdir())[0]
    image = np.asarray(Image.open(first).convert("RGB"))
    _reset_peak()
    started = time.perf_counter()
    with segmenter(params.models, models.fingerprint, params.device) as sam:
        best, masks = find_bead(sam, image, SegmentParams())
    return {
        "stage": "SAM on one photograph",
        "seconds": time.perf_counter() - started,
        "peak_gb": _peak_gb(),
        "masks": len(masks),
        "has_bead": best is not None,
    }


def main() -> None:
    """Run the parameters given as JSON; print what came of it as JSON."""
    from flows.terminal import quiet_prefect

    quiet_prefect()
    from flows.grow_pool import grow_pool
    from tasks.domain.parameters import GrowParams

    params = GrowParams.model_validate_json(sys.argv[1])
    stages = watched_stages()
    result = grow_pool(params)
    stages.append(segmented(params))
    told = {"stages": stages, "result": result.model_dump(mode="json")}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
