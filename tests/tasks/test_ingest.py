"""Ingest on a folder of all that goes wrong: each file told apart, none lost, none changed."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from tasks.domain.errors import BadParameters
from tasks.domain.parameters import IngestParams
from tasks.domain.records import Refusal, RunContext, Source
from tasks.ingest import ingest_batch, list_source_files
from tasks.sources import source_pixels, source_view
from tasks.store.files import ContentStore

GOOD = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)


def ingested(folder, tmp_path, **limits):
    store = ContentStore(str(tmp_path / "store"))
    context = RunContext(
        store_uri=str(tmp_path / "store"), store_identity=store.identity,
        models="tiny", models_fingerprint="0" * 32,
    )  # fmt: skip
    files, refused = list_source_files(str(folder))
    results = ingest_batch.fn(files, context, IngestParams(**limits))
    assert len(results) == len(files)
    return store, {
        **{r.subject: r for r in refused},
        **{r.subject if isinstance(r, Refusal) else r.name: r for r in results},
    }


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    return root


def test_every_bad_file_is_refused_with_its_reason_and_the_good_ones_go_on(folder, tmp_path):
    good = Image.fromarray(GOOD)
    good.save(folder / "good.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image")
    buffer = io.BytesIO()
    good.save(buffer, "JPEG")
    (folder / "truncated.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    Image.new("L", (5000, 4000)).save(folder / "huge.png")
    Image.new("L", (20, 200)).save(folder / "thin.png")
    good.convert("CMYK").save(folder / "press.jpg")
    Image.fromarray(np.dstack([GOOD, GOOD[..., 0]])).save(folder / "see_through.png")
    frames = [Image.fromarray(np.roll(GOOD, k * 9, axis=1)) for k in range(3)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    (folder / "folder.png").mkdir()
    outside = tmp_path / "secret.png"
    good.save(outside)
    (folder / "link.png").symlink_to(outside)
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "notes.txt").write_text("ignored")
    _, results = ingested(folder, tmp_path, max_pixels=1_000_000)
    reasons = {k: v.reason for k, v in results.items() if isinstance(v, Refusal)}
    wanted = {
        "empty.png": "empty", "text.jpg": "not an image", "truncated.jpg": "truncated",
        "huge.png": "raise ingest.max_pixels", "thin.png": "too small", "press.jpg": "CMYK",
        "see_through.png": "alpha", "film.gif": "animated", "folder.png": "a folder named",
        "link.png": "leads out", "gone.png": "unreadable",
    }  # fmt: skip
    assert reasons.keys() == wanted.keys()
    for name, words in wanted.items():
        assert words in reasons[name], (name, reasons[name])
    assert isinstance(results["good.png"], Source)


def test_pixels_are_kept_in_their_own_depth(folder, tmp_path):
    grey16 = np.random.default_rng(1).integers(1000, 4000, (70, 90)).astype(np.uint16)
    Image.fromarray(grey16).save(folder / "deep.png")
    Image.fromarray(GOOD[..., 0]).save(folder / "grey.png")
    Image.fromarray(GOOD).save(folder / "colour.png")
    opaque = np.dstack([GOOD, np.full(GOOD.shape[:2], 255, np.uint8)])
    Image.fromarray(opaque).save(folder / "opaque.png")
    store, results = ingested(folder, tmp_path)
    assert np.array_equal(source_pixels(store, results["deep.png"]), grey16)
    assert np.array_equal(source_pixels(store, results["grey.png"]), GOOD[..., 0])
    assert np.array_equal(source_pixels(store, results["colour.png"]), GOOD)
    assert np.array_equal(source_pixels(store, results["opaque.png"]), GOOD)
    view = source_view(store, results["deep.png"])
    assert view.shape == (70, 90, 3)
    assert (view.min(), view.max()) == (0, 255)


def test_exif_rotation_turns_the_pixels_upright(folder, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GOOD).save(folder / "turned.png", exif=exif)
    store, results = ingested(folder, tmp_path)
    assert np.array_equal(source_pixels(store, results["turned.png"]), np.rot90(GOOD, -1))
    assert (results["turned.png"].width_px, results["turned.png"].height_px) == (80, 100)


def test_labels_come_from_folders_and_masks_are_no_parts(folder, tmp_path):
    for name in ("ok/a.png", "ko/crack/b.PNG", "ko/c.png", "masks/crack/b.png", "ok/ü ñ [1].png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = GOOD.copy()
        pixels[0, 0, 0] = len(name)
        Image.fromarray(pixels).save(folder / name, "PNG")
    _, results = ingested(folder, tmp_path)
    labels = {name: (s.label, s.kind) for name, s in results.items()}
    assert labels == {
        "ok/a.png": ("OK", "sound"), "ko/crack/b.PNG": ("KO", "crack"),
        "ko/c.png": ("KO", "defect"), "ok/ü ñ [1].png": ("OK", "sound"),
    }  # fmt: skip


def test_folders_that_cannot_work_stop_the_run_at_once(folder):
    with pytest.raises(BadParameters, match="neither"):
        list_source_files(str(folder / "missing"))
    with pytest.raises(BadParameters, match="found none"):
        list_source_files(str(folder))


def with_mask(folder, mask: np.ndarray | bytes, name: str = "b") -> None:
    """A defective image with a mask beside it."""
    for place in ("ko/crack", "masks/crack"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    Image.fromarray(GOOD).save(folder / f"ko/crack/{name}.png")
    path = folder / f"masks/crack/{name}.png"
    path.write_bytes(mask) if isinstance(mask, bytes) else Image.fromarray(mask).save(path)


def with_boxes(folder, **boxes: str) -> str:
    """A manifest of defective images with boxes."""
    lines = ["path,label,kind,box"]
    for index, (name, text) in enumerate(boxes.items()):
        pixels = GOOD.copy()
        pixels[0, 0] = index
        Image.fromarray(pixels).save(folder / f"{name}.png")
        lines.append(f"{name}.png,KO,crack,{text}")
    manifest = folder / "m.csv"
    manifest.write_text("\n".join(lines))
    return str(manifest)


@pytest.mark.parametrize(("top", "kept"), [(255, (128, 254)), (200, (101, 150)), (1, (1,))])
def test_a_mask_is_read_above_half_of_its_maximum(folder, tmp_path, top, kept):
    mask = np.zeros((80, 100), np.uint8)
    mask[10:20, 30:50] = top
    mask[0, 0], mask[0, 1] = top // 2, top // 4
    for column, value in enumerate(kept):
        mask[70, column] = value
    with_mask(folder, mask)
    store, results = ingested(folder, tmp_path)
    expected = np.zeros((80, 100), bool)
    expected[10:20, 30:50] = True
    expected[70, : len(kept)] = True
    assert np.array_equal(store.get_mask(results["ko/crack/b.png"].defect), expected)


def test_masks_in_colour_or_of_one_bit_are_masks_too(folder, tmp_path):
    expected = np.zeros((80, 100), bool)
    expected[10:20, 30:50] = True
    colour = np.zeros((80, 100, 3), np.uint8)
    colour[..., 2][expected] = 255
    with_mask(folder, colour, "colour")
    with_mask(folder, expected, "bit")
    store, results = ingested(folder, tmp_path)
    for name in ("colour", "bit"):
        assert np.array_equal(store.get_mask(results[f"ko/crack/{name}.png"].defect), expected)


def test_masks_that_cannot_be_used_refuse_their_image_with_the_reason(folder, tmp_path):
    with_mask(folder, np.full((100, 80), 255, np.uint8), "turned")
    with_mask(folder, np.zeros((80, 100), np.uint8), "empty")
    with_mask(folder, b"not an image", "text")
    with_mask(folder, np.full((80, 100), 255, np.uint8), "good")
    _, results = ingested(folder, tmp_path)
    reasons = {k: v.reason for k, v in results.items() if isinstance(v, Refusal)}
    assert reasons.keys() == {f"ko/crack/{name}.png" for name in ("turned", "empty", "text")}
    assert "mask turned.png is 80x100; expected 100x80" in reasons["ko/crack/turned.png"]
    assert "mask empty.png is empty" in reasons["ko/crack/empty.png"]
    assert "mask text.png cannot be used: " in reasons["ko/crack/text.png"]


def test_boxes_are_the_defect_and_are_cut_at_the_edge(folder, tmp_path):
    manifest = with_boxes(
        folder, one="30 10 20 5", two="0 0 3 3; 90 70 500 500", touching="99 79 1 1"
    )
    store, results = ingested(manifest, tmp_path)
    expected = {name: np.zeros((80, 100), bool) for name in ("one", "two", "touching")}
    expected["one"][10:15, 30:50] = True
    expected["two"][:3, :3] = True
    expected["two"][70:, 90:] = True
    expected["touching"][79, 99] = True
    defects = {s.name.removesuffix(".png"): store.get_mask(s.defect) for s in results.values()}
    assert defects.keys() == expected.keys()
    for name, mask in expected.items():
        assert np.array_equal(defects[name], mask), name


def test_a_box_outside_the_image_refuses_it_one_of_several_does_not(folder, tmp_path):
    manifest = with_boxes(folder, beside="100 0 9 9", below="0 80 9 9", partly="0 0 2 2; 500 0 9 9")
    store, results = ingested(manifest, tmp_path)
    refused = {name: r.reason for name, r in results.items() if isinstance(r, Refusal)}
    assert len(refused) == 2
    for name, reason in refused.items():
        assert name.startswith(("beside", "below"))
        assert "lies in the image of 100x80" in reason
    (partly,) = (s for s in results.values() if isinstance(s, Source))
    assert store.get_mask(partly.defect).sum() == 4


def test_a_mask_goes_before_boxes_and_a_sound_image_has_no_defect(folder, tmp_path):
    mask = np.zeros((80, 100), np.uint8)
    mask[5, 5] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    for name in ("both", "sound", "bare"):
        pixels = GOOD.copy()
        pixels[0, 0] = len(name)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    manifest = folder / "m.csv"
    manifest.write_text(
        "path,label,kind,mask,box\nboth.png,KO,crack,mask.png,20 20 9 9\n"
        "sound.png,OK,,,\nbare.png,KO,crack,,\n"
    )
    store, results = ingested(manifest, tmp_path)
    by_name = {source.name.removesuffix(".png"): source for source in results.values()}
    assert np.array_equal(store.get_mask(by_name["both"].defect), mask > 0)
    assert by_name["sound"].defect is None
    assert by_name["bare"].defect is None


def test_a_forgotten_source_is_refused_under_any_name_and_no_byte_of_it_is_kept(folder, tmp_path):
    Image.fromarray(GOOD).save(folder / "withdrawn.png")
    Image.fromarray(GOOD[:, ::-1]).save(folder / "other.png")
    data = (folder / "withdrawn.png").read_bytes()
    context = RunContext(
        store_uri=str(tmp_path / "store"), store_identity="x", models="tiny",
        models_fingerprint="0" * 32,
    )  # fmt: skip
    files, _ = list_source_files(str(folder))
    reason = "forgotten: withdrawn from the pool on 2026-11-25: contract ended"
    forgotten = {hashlib.sha256(data).hexdigest(): reason}
    other, withdrawn = ingest_batch.fn(files, context, IngestParams(), forgotten)
    assert isinstance(other, Source)
    assert (withdrawn.subject, withdrawn.reason) == ("withdrawn.png", reason)
    kept = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert kept
    assert all(path.read_bytes() != data for path in kept)
