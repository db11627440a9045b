"""Small versions landed by hand, for tests of what reads them."""

import numpy as np

from tasks.domain.funnel import Funnel
from tasks.store.archive import Archive
from tasks.store.rows import PoolRow, RejectedRow, RunRow, SourceRow, TrialRow

TRIAL = TrialRow(
    trial_id="a", version="v1", dataset="x", recommended_share=0.15, is_promoted=True,
    reason="promoted", params="{}", result="{}", created_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip

BEAD, LONG = np.ones((80, 120), bool), np.zeros((80, 120), bool)
LONG[40:44, 30:90] = True  # a region along the bead


def unit(seed: int) -> np.ndarray:
    row = np.random.default_rng(seed).standard_normal(8).astype(np.float32)
    return row / np.linalg.norm(row)


def source_row(source_id: str = "s1", **changes) -> SourceRow:
    told = {
        "id": source_id, "uri": "/a.png", "label": "OK", "kind": "sound", "bytes": b"source",
        "embedding": unit(7), "defect_angle_deg": None, "defect_share": None,
    } | changes  # fmt: skip
    return SourceRow(**told)


def columns(row_id: str, **changes) -> dict:
    seed = int.from_bytes(row_id.encode()[:4], "big")
    return {
        "id": row_id, "source_id": "s1", "kind": "crack", "prompt": "a crack",
        "negative_prompt": "", "region": "crack", "seed": 2**62 + 1, "strength": 0.35,
        "guidance_scale": 7.5, "steps": 25, "effective_steps": 8, "image": b"png" + row_id.encode(),
        "mask": b"mask", "bead_mask": b"bead", "window_xywh": (1, 2, 64, 64),
        "embedding": unit(seed), "embedding_image": unit(seed + 1), "s_i": 0.8, "realism": 0.7,
        "utility": 0.9, "d_plaus": 0.1, "gates": "{}", "merged_ids": ("m1",), "is_placebo": False,
        "model_set": "tiny", "models": "{}", "maker": None, "maker_file": None, "generation": 0,
        "created_at": "2026-11-23T10:00:00+00:00", "run_id": "r1",
    } | changes  # fmt: skip


def run_row(
    run_id: str, base: str | None = None, *, fingerprint: str = "f" * 32,
    embedder: str = "e" * 32, lineage: str = "",
) -> RunRow:  # fmt: skip
    return RunRow(
        run_id=run_id, base_version=base, params="{}", calibration="{}",
        funnel=Funnel(listed=1, edits=0, rows=(), accepted={}).model_dump_json(),
        versions="{}", energy="{}", created_at="2026-11-23", model_set_fingerprint=fingerprint,
        embedder_fingerprint=embedder, lineage=lineage,
    )  # fmt: skip


def land(
    uri, run_id: str, accepted: list[str], rejected: list[str] = (), base=None, *,
    source: str = "s1", source_bytes: bytes = b"source", run: RunRow | None = None, **changes,
):  # fmt: skip
    """A version whose rows are made from one source; `changes` are columns of all of them."""
    changes |= {"source_id": source, "run_id": run_id}
    return Archive(str(uri)).land(
        run or run_row(run_id, base),
        pool=(PoolRow(**columns(one, **changes)) for one in accepted),
        rejected=(
            RejectedRow(**columns(one, **changes), stage="useful", reasons=("no novelty",))
            for one in rejected
        ),
        sources=[source_row(id=source, uri=f"/{source}.png", bytes=source_bytes)],
        embedding_dim=8,
    )
