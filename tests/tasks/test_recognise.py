"""A pool's own images given to a generator as files: recognised through JPEG; real ones are not."""

import hashlib
import io

import numpy as np
import pytest
from landed import columns, run_row, source_row
from PIL import Image
from planted import good_case

from tasks.adapt_plant import Plant, with_recognised
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.errors import BadInput
from tasks.domain.records import Bead, MaskScore, Ref, RunContext, Source
from tasks.recognise import pool_selections, recognise_sources
from tasks.store.archive import Archive
from tasks.store.files import ContentStore
from tasks.store.images import encoded_png
from tasks.store.rows import PoolRow, RejectedRow

KINDS = ("crack", "porosity", "oxidation", "spatter")


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def source(store: ContentStore, name: str, data: bytes) -> Source:
    return Source(
        id=hashlib.sha256(data).hexdigest(), name=name, uri=f"file:///{name}", label="OK",
        kind="sound", image=store.put(data), width_px=256, height_px=256,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Sources by name, and what is recognised among them: four cases, the last one rejected."""
    home = tmp_path_factory.mktemp("recognise")
    store, uri = ContentStore(str(home / "store")), str(home / "pool")
    cases = {kind: good_case(kind, seed) for seed, kind in enumerate(KINDS)}
    rows = {
        kind: columns(
            kind, source_id=f"real {kind}", image=encoded_png(case.after), generation=2 * i
        )
        for i, (kind, case) in enumerate(cases.items())
    }  # fmt: skip
    Archive(uri).land(
        run_row("r1"),
        pool=[PoolRow(**rows[kind]) for kind in KINDS[:3]],
        rejected=[RejectedRow(**rows["spatter"], stage="honest", reasons=("artifact",))],
        sources=[source_row(f"real {k}", bytes=encoded_png(c.before)) for k, c in cases.items()],
        embedding_dim=8,
    )  # fmt: skip
    crack, porosity, oxidation, spatter = cases.values()
    files = {
        "exact": encoded_png(crack.after), "jpeg": jpeg(porosity.after),
        "turned": jpeg(oxidation.after[::-1]), "rejected": jpeg(spatter.after),
        "real": encoded_png(crack.before), "real jpeg": jpeg(porosity.before),
        "another part": jpeg(good_case("crack", 77).before),
    }  # fmt: skip
    sources = {name: source(store, name, data) for name, data in files.items()}
    context = RunContext(
        store_uri=str(home / "store"), store_identity="x", models="tiny", models_fingerprint="f",
    )  # fmt: skip
    found = recognise_sources.fn(list(sources.values()), pool_selections([uri]), context)
    return sources, found


def test_a_pools_own_images_are_recognised_accepted_or_not_and_real_ones_are_not(told):
    sources, found = told
    names = {one.id: name for name, one in sources.items()}
    assert {names[one.source_id]: (one.row_id, one.generation) for one in found} == {
        "exact": ("crack", 0), "jpeg": ("porosity", 2), "turned": ("oxidation", 4),
        "rejected": ("spatter", 6),
    }  # fmt: skip
    assert {one.row_source_id for one in found} == {f"real {kind}" for kind in KINDS}


def plant_of(sources, held_out=()) -> Plant:
    ref = Ref(sha256="0" * 64, uri="x")
    score = MaskScore(total=1, elongation=1, contrast=1, homogeneity=1, centring=1)
    return Plant(
        sources=tuple(sources),
        beads=tuple(
            Bead(source_id=one.id, mask=ref, score=score, box_xywh=(0, 0, 9, 9)) for one in sources
        ),
        groups={one.id: one.name for one in sources}, held_out=frozenset(held_out), refusals=(),
    )  # fmt: skip


def params(**changes) -> AdaptParams:
    return AdaptParams(images="x", out="y", pools=("p",), **changes)


def test_recognised_images_are_left_out_with_their_reason(told):
    sources, found = told
    plant = with_recognised(plant_of(sources.values(), ["real"]), found, params())
    assert {one.name for one in plant.sources} == {"real", "real jpeg", "another part"}
    assert len(plant.beads) == 3
    assert {one.subject for one in plant.refusals} == {"exact", "jpeg", "turned", "rejected"}
    assert all("synthetic: it is" in one.reason for one in plant.refusals)
    assert plant.synthetic == {}


def test_where_they_are_allowed_they_are_marked_and_never_judge(told):
    sources, found = told
    plant = with_recognised(
        plant_of(sources.values(), ["real", "jpeg"]), found,
        params(allow_synthetic=True, real_floor=0.3),
    )  # fmt: skip
    marked = {sources[name].id: g for name, g in (("exact", 0), ("turned", 4), ("rejected", 6))}
    assert plant.synthetic == marked
    assert [one.name for one in plant.part(judges=True)] == ["real"]


def test_an_edit_of_a_part_that_judges_is_left_out_even_where_synthetic_is_allowed(told):
    sources, found = told
    whole = plant_of(sources.values(), ["real"])
    seen = [one.model_copy(update={"row_source_id": sources["real"].id}) for one in found[:1]]
    plant = with_recognised(whole, seen, params(allow_synthetic=True))
    assert "exact" not in {one.name for one in plant.sources}


def test_the_floor_of_real_images_holds(told):
    sources, found = told
    with pytest.raises(BadInput, match="50% or more"):
        with_recognised(plant_of(sources.values(), ["real"]), found, params(allow_synthetic=True))
