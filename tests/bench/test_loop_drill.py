"""Why the loop is refused: five generations that learn from themselves, and that may not.

About 20 minutes on two free cores. POOLSTAR_BENCH names a folder to keep everything in; a second
run then goes on where it stopped. `drill.svg` and `drill.png` show what happened.
"""

import os
from pathlib import Path

import pytest
from loop_drill import Drill, run_drill

pytestmark = pytest.mark.bench


def test_a_closed_loop_loses_diversity_and_fresh_real_images_keep_it(tmp_path, record):
    folder = Path(os.environ.get("POOLSTAR_BENCH", tmp_path)) / "loop"
    found = run_drill(folder, Drill())
    for arm, rows in found.items():
        for generation, row in enumerate(rows):
            record(f"loop, guard {arm}, generation {generation}", **row)
    first, off, on = found["off"][0], found["off"][-1], found["on"][-1]
    assert first == found["on"][0]
    for name in ("pair", "apart", "entropy", "seen"):
        assert off[name]["high"] < first[name]["value"], name
    assert on["entropy"]["value"] > off["entropy"]["high"]
    assert on["seen"]["low"] > off["seen"]["high"]
    assert on["divergence"]["value"] < off["divergence"]["value"]
