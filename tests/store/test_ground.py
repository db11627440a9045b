"""The ground: what versions added, from which real images, with their poses; samples bounded."""

import numpy as np
import pytest
from landed import BEAD, LONG, columns, run_row, source_row, unit

from tasks.domain.errors import UnknownVersion
from tasks.domain.funnel import Funnel
from tasks.store import ground as ground_module
from tasks.store.archive import Archive
from tasks.store.ground import Ground
from tasks.store.images import encoded_png
from tasks.store.rows import PoolRow

COLUMNS = {"mask": encoded_png(LONG), "bead_mask": encoded_png(BEAD)}


def funnel(listed: int) -> str:
    return Funnel(listed=listed, edits=0, rows=(), accepted={}).model_dump_json()


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> str:
    """v1: two defects and a placebo from two real images; v2: one of generation 2, one new."""
    uri = str(tmp_path_factory.mktemp("ground") / "pool")
    known = [
        source_row("s1"),
        source_row("s2", label="KO", kind="crack", defect_angle_deg=30.0, defect_share=0.01),
    ]
    runs = [
        ("r1", [("a", {}), ("b", {"source_id": "s2"}), ("p", {"is_placebo": True})], known),
        ("r2", [("c", {"generation": 2})], [*known, source_row("s3", label="KO", kind="pore")]),
    ]
    for run, rows, sources in runs:
        row = run_row(run, Archive(uri).latest())
        Archive(uri).land(
            type(row)(**{**row.__dict__, "funnel": funnel(len(sources))}),
            pool=[PoolRow(**columns(name, **COLUMNS, **more)) for name, more in rows],
            rejected=[], sources=sources, embedding_dim=8,
        )  # fmt: skip
    return uri


def test_real_images_come_back_with_what_is_known_of_them(pool):
    real = Ground(pool).real("v1")
    assert real.groups.tolist() == ["s1", "s2"]
    assert real.kinds.tolist() == ["sound", "crack"]
    assert real.angle_deg[1] == 30
    assert real.share[1] == 0.01
    assert np.isnan(real.angle_deg[0])
    assert np.array_equal(real.embedding[0], unit(7))
    assert Ground(pool).real(defects_only=True).groups.tolist() == ["s2", "s3"]


def test_a_version_adds_what_the_one_before_it_lacks(pool):
    first, second = (Ground(pool).added(name) for name in ("v1", "v2"))
    assert sorted(first.looks.groups.tolist()) == ["s1", "s2"]
    assert (first.generation, first.fresh, first.sources) == (0, 2, 2)
    assert (len(second.looks.kinds), second.generation) == (1, 2)
    assert (second.fresh, second.sources) == (1, 3)
    assert np.allclose(first.looks.angle_deg, 0, atol=1)
    assert first.looks.share[0] == pytest.approx(LONG.mean())


def test_placebos_are_no_defects(pool):
    assert len(Ground(pool).made("v1").kinds) == 2
    assert len(Ground(pool).made().kinds) == 3


def test_only_a_sample_is_read_and_always_the_same(pool, monkeypatch):
    monkeypatch.setattr(ground_module, "SAMPLE", 1)
    names = [Ground(pool).made().groups.tolist() for _ in range(2)]
    assert names == [["s1"], ["s1"]]
    assert len(Ground(pool).added("v1").looks.kinds) == 1


def test_pixels_come_in_blocks_and_an_unknown_version_is_named(pool):
    blocks = list(Ground(pool).pixels("pool", "v2", 2))
    assert sum(len(block) for block in blocks) == 4
    assert {row["generation"] for block in blocks for row in block} == {0, 2}
    assert next(Ground(pool).pixels("sources", "v2", 9))[0]["image"] == b"source"
    with pytest.raises(UnknownVersion, match="v9"):
        Ground(pool).added("v9")


def test_a_version_that_adds_no_defect_adds_nothing(tmp_path):
    uri = str(tmp_path / "pool")
    row = run_row("r1")
    Archive(uri).land(
        type(row)(**{**row.__dict__, "funnel": funnel(1)}),
        pool=[PoolRow(**columns("p", **COLUMNS, is_placebo=True))], rejected=[],
        sources=[source_row("s1")], embedding_dim=8,
    )  # fmt: skip
    added = Ground(uri).added("v1")
    assert (len(added.looks.kinds), added.sources) == (0, 1)
    assert Archive(uri).images("pool", "v1", []) == []
