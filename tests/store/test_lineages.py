"""Lineages in a pool: kept once a model set, read back as they were, damage said plainly."""

import lancedb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from landed import run_row
from learned import rows, sources

from tasks.domain.errors import ArchiveError, PoolBroken, ShapeError
from tasks.domain.leakage import SIDE_PX, fine_structure
from tasks.factory.render import SOUND, render_weld
from tasks.factory.styles import DEMO_PLANT
from tasks.store.archive import Archive
from tasks.store.lineages import decoded_lineage, encoded_lineage


def land(uri, run_id: str, **row):
    archive = Archive(str(uri))
    run = run_row(run_id, archive.latest(), **row)
    return archive.land(run, pool=[], rejected=[], sources=[], embedding_dim=8)


def make_old(uri) -> None:
    """Leave the pool as a poolstar before lineages wrote it."""
    table = lancedb.connect(str(uri)).open_table("runs")
    table.drop_columns(["embedder_fingerprint", "lineage"])
    table.tags.update("v1", table.version)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(0, 99), st.floats(1, 6))
def test_correlations_survive_eight_bits(count, seed, power):
    """Even of rows with few strong pixels, as `power` makes them."""
    fine = rows(count, seed)
    fine = np.sign(fine) * np.abs(fine) ** np.float32(power)
    fine /= np.maximum(np.linalg.norm(fine, axis=1, keepdims=True), np.float32(1e-30))
    found, decoded = decoded_lineage(encoded_lineage(sources(count), fine))
    assert found == tuple(sources(count))
    assert decoded.shape == fine.shape
    assert ((decoded * fine).sum(axis=1) > 0.98).all()
    assert np.linalg.norm(decoded, axis=1) == pytest.approx(np.ones(count), abs=1e-5)


def test_parts_keep_their_correlation_and_uniform_ones_resemble_nothing():
    images = [render_weld(DEMO_PLANT, SOUND, 70 + i).image_rgb for i in range(4)]
    fine = np.stack([fine_structure(one) for one in images] + [np.zeros(SIDE_PX**2, np.float32)])
    _, decoded = decoded_lineage(encoded_lineage(sources(5), fine))
    assert np.abs(decoded @ fine.T - fine @ fine.T).max() < 1e-3
    assert not decoded[4].any()


def test_a_source_without_its_row_is_not_kept():
    with pytest.raises(ShapeError, match="fine structure"):
        encoded_lineage(sources(3), rows(2))


def test_a_lineage_is_kept_once_a_set_and_stands_from_its_version_on(tmp_path):
    uri = tmp_path / "pool"
    one, other = (encoded_lineage(sources(n, mark), rows(n)) for n, mark in ((2, "a"), (3, "b")))
    land(uri, "r1", fingerprint="tiny")
    land(uri, "r2", fingerprint="adapted", lineage=one)
    land(uri, "r3", fingerprint="adapted", lineage=one)
    land(uri, "r4", fingerprint="again", lineage=other)
    archive = Archive(str(uri))
    kept = {version: archive.lineages(version) for version in archive.versions()}
    assert [[len(part) for part, _ in found] for found in kept.values()] == [[], [2], [2], [2, 3]]
    assert [one.id for one in kept["v4"][1][0]] == ["b0", "b1", "b2"]
    assert np.allclose(kept["v4"][1][1], rows(3), atol=2e-3)
    assert [bool(row["lineage"]) for row in archive._runs("v4")] == [False, True, False, True]
    assert archive.verify().ok


def test_equal_rows_of_sets_with_other_lineages_have_other_manifests(tmp_path):
    texts = ["", encoded_lineage(sources(2), rows(2)), encoded_lineage(sources(2), rows(2, 1))]
    found = []
    for index, text in enumerate(texts):
        land(tmp_path / f"{index}", "r1", lineage=text)
        found.append(Archive(str(tmp_path / f"{index}")).manifests())
    assert len({manifest["sources"] for manifest in found}) == 1
    assert len({manifest["lineages"] for manifest in found}) == 3


def test_a_damaged_lineage_is_a_broken_pool(tmp_path):
    text = encoded_lineage(sources(2), rows(2))
    for index, damaged in enumerate(
        (text[:-9], text.replace('"structure":"', '"structure":"QUJD'))
    ):
        land(tmp_path / f"{index}", "r1", lineage=damaged)
        with pytest.raises(PoolBroken, match="Expected a readable pool"):
            Archive(str(tmp_path / f"{index}")).lineages()


def test_a_pool_of_an_older_poolstar_is_named_as_such_and_stays_as_it_is(tmp_path):
    uri = tmp_path / "pool"
    land(uri, "r1")
    make_old(uri)
    archive = Archive(str(uri))
    for use in (
        lambda: archive.require_model_set("e" * 32),
        archive.lineages,
        archive.manifests,
        archive.verify,
        lambda: land(uri, "r2", lineage=encoded_lineage(sources(1), rows(1))),
    ):
        with pytest.raises(ArchiveError, match="older poolstar") as caught:
            use()
        assert not isinstance(caught.value, PoolBroken)
    assert archive.versions() == ["v1"]
