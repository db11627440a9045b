"""Before any work: words settled by the model set, and a surface's mask read or refused."""

import numpy as np
import pytest
from PIL import Image

from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.parameters import GrowParams, IngestParams, PromptSpec, SegmentParams
from tasks.domain.records import RegionStrategy
from tasks.domain.shapes import DefectShape
from tasks.domain.trial_parameters import TrialParams
from tasks.models.model_set import ModelSet, open_model_set
from tasks.prepare import given_surface, prepare_run, prepare_trial, with_words
from tasks.store.files import ContentStore

MASK = np.zeros((70, 90), dtype=np.uint8)
MASK[10:40, 20:80] = 255
SHAPE = DefectShape(length_px=20, width_px=2, angle_deg=0, stray=0.1, parts=1)


def adapted() -> ModelSet:
    """A plant's set: it knows scratches by shape and rust by name alone."""
    return open_model_set("tiny").model_copy(
        update={
            "name": "plant", "sound_prompt": "a sound casting",
            "prompts": {"scratch": "a scratch", "rust": "red rust"},
            "shapes": {"scratch": (SHAPE,), "rust": ()},
        }
    )  # fmt: skip


def grow(*prompts: PromptSpec, **changes) -> GrowParams:
    return GrowParams(images="in", pool="out", prompts=prompts, **changes)


def test_what_is_not_named_comes_from_the_set_and_what_is_named_stays():
    named = PromptSpec(kind="rust", prompt="brown rust", region=RegionStrategy.BAND)
    settled = with_words(grow(PromptSpec(kind="scratch"), named), adapted())
    assert [spec.words for spec in settled.prompts] == ["a scratch", "brown rust"]
    assert settled.sound_words == "a sound casting"
    mine = with_words(grow(named, sound_prompt="my own words"), adapted())
    assert mine.prompts == (named,)
    assert mine.sound_words == "my own words"
    assert with_words(settled, adapted()) == settled


def test_regions_are_learned_only_where_the_set_has_shapes_and_none_is_named():
    specs = (
        PromptSpec(kind="scratch"),
        PromptSpec(kind="scratch", prompt="own", region=RegionStrategy.CRACK),
        PromptSpec(kind="rust"),
        PromptSpec(kind="dent", prompt="a dent"),
    )
    settled = with_words(grow(*specs), adapted())
    assert [spec.region for spec in settled.prompts] == [
        RegionStrategy.LEARNED, RegionStrategy.CRACK, None, None,
    ]  # fmt: skip


def test_a_kind_without_words_is_refused_with_the_kinds_that_have_some():
    with pytest.raises(BadInput, match=r"prompt for dent.*plant has prompts for scratch, rust"):
        with_words(grow(PromptSpec(kind="dent")), adapted())
    wordless = adapted().model_copy(update={"prompts": {}})
    with pytest.raises(BadInput, match="has prompts for no kind; give --prompt"):
        with_words(grow(PromptSpec(kind="scratch")), wordless)


def surface(path) -> SegmentParams:
    return SegmentParams(surface="mask", mask=str(path))


@pytest.mark.parametrize("scale", [1, 1 / 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "1", "I;16"])
def test_a_mask_is_read_in_every_usual_form(tmp_path, mode, scale):
    values = np.rint(MASK * scale).astype(np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(values)
    if mode == "1":
        image = Image.fromarray(values > 0)
    image = image if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "mask.png")
    found = given_surface(surface(tmp_path / "mask.png"), IngestParams())
    assert np.array_equal(found, MASK > 0)


def test_no_mask_is_no_surface_and_a_white_one_is_the_whole(tmp_path):
    assert given_surface(SegmentParams(), IngestParams()) is None
    Image.new("L", (30, 20), 255).save(tmp_path / "white.png")
    found = given_surface(surface(tmp_path / "white.png"), IngestParams())
    assert found is not None
    assert found.shape == (20, 30)
    assert found.all()


def write_wrong(path, what: str) -> None:
    """A file that cannot be the mask of a surface."""
    if what == "empty":
        Image.new("L", (90, 70)).save(path)
    elif what == "text":
        path.write_text("not an image")
    elif what == "photograph":
        noise = np.random.default_rng(0).integers(0, 256, MASK.shape).astype(np.uint8)
        Image.fromarray(noise).save(path)
    elif what == "two greys":
        Image.fromarray(MASK // 2 + 90).save(path)
    elif what == "huge":
        Image.new("L", (400, 300), 255).save(path)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "No such file"),
        ("text", "not an image"),
        ("empty", "every pixel is 0"),
        ("photograph", "black and white.*0 to 255"),
        ("two greys", "black and white.*90 to 217"),
        ("huge", "too large: 400x300"),
    ],
)
def test_a_file_that_is_no_mask_stops_runs_and_trials_before_any_work(tmp_path, what, message):
    (tmp_path / "in").mkdir()
    mask = tmp_path / "mask.png"
    write_wrong(mask, what)
    common = {
        "pool": str(tmp_path / "pool"), "segment": surface(mask),
        "ingest": IngestParams(max_pixels=100_000),
    }  # fmt: skip
    prompts = (PromptSpec(kind="crack", prompt="a crack"),)
    with pytest.raises(BadParameters, match=message):
        prepare_run(GrowParams(images=str(tmp_path / "in"), prompts=prompts, **common))
    with pytest.raises(BadParameters, match=message):
        prepare_trial(TrialParams(dataset=str(tmp_path / "in"), **common))
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "mask.png"}


def test_the_context_holds_the_mask_by_its_content(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(MASK).save(tmp_path / "a.png")
    Image.fromarray(MASK).convert("RGB").save(tmp_path / "b.bmp")
    Image.fromarray(255 - MASK).save(tmp_path / "c.png")
    refs = []
    for name in ("a.png", "b.bmp", "c.png"):
        params = TrialParams(
            dataset="x", pool=str(tmp_path / "pool"), segment=surface(tmp_path / name)
        )
        context = prepare_trial(params)
        assert context.surface_mask is not None
        refs.append(context.surface_mask)
    assert refs[0] == refs[1] != refs[2]
    store = ContentStore(context.store_uri)
    assert np.array_equal(store.get_mask(refs[0]), MASK > 0)
    run = GrowParams(
        images=str(tmp_path / "in"), pool=str(tmp_path / "pool"),
        prompts=(PromptSpec(kind="crack", prompt="a crack"),), segment=surface(tmp_path / "a.png"),
    )  # fmt: skip
    assert prepare_run(run).surface_mask == refs[0]
    assert prepare_run(run.model_copy(update={"segment": SegmentParams()})).surface_mask is None
