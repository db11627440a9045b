"""Adopt: pairs become candidates as they came, and whatever cannot be judged says why."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import Case, good_case

from tasks.adopt import adopt_batch, read_pairs
from tasks.domain.parameters import IngestParams
from tasks.domain.records import (
    Bead,
    Candidate,
    MaskScore,
    Pair,
    PairFile,
    Refusal,
    RunContext,
    Source,
    Stage,
)
from tasks.foreign import take_in
from tasks.grown import Grown
from tasks.models.model_set import open_model_set
from tasks.store.files import ContentStore
from tasks.store.images import encoded_png

PARAMS = IngestParams()


class Studio:
    """A folder in which a designer saves a source and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.case = folder, good_case("porosity", 101)
        self.store = ContentStore(str(folder / "store"))
        self.context = RunContext(
            store_uri=str(folder / "store"), store_identity=self.store.identity, models="tiny",
            models_fingerprint=open_model_set("tiny").fingerprint, device="cpu",
        )  # fmt: skip

    def pair(self, after=None, *, before=None, mask=None, name="a.png", **save) -> PairFile:
        paths = {}
        for role, image in (("source", before), ("candidate", after), ("mask", mask)):
            if image is None and role == "mask":
                continue
            default = self.case.before if role == "source" else self.case.after
            paths[role] = self.folder / f"{role}_{name if role == 'candidate' else 'x.png'}"
            data = default if image is None else image
            if isinstance(data, bytes):
                paths[role].write_bytes(data)
            else:
                options = save if role == "candidate" else {}
                Image.fromarray(data).save(paths[role], **options)
        return PairFile(
            name=name, source=str(paths["source"]), candidate=str(paths["candidate"]),
            mask=str(paths["mask"]) if "mask" in paths else None, kind="porosity",
            prompt="", maker="a designer", generation=None, stamps=((1, 1),),
        )  # fmt: skip

    def read(self, pair: PairFile) -> Pair | Refusal:
        return read_pairs.fn([pair], self.context, PARAMS)[0]

    def bead(self, pair: Pair, case: Case | None = None) -> Bead:
        score = MaskScore(total=1, elongation=1, contrast=1, homogeneity=1, centring=1)
        mask = self.store.put_mask((case or self.case).bead)
        return Bead(source_id=pair.source.id, mask=mask, score=score, box_xywh=(0, 0, 1, 1))

    def adopted(self, pair: PairFile, case: Case | None = None) -> Candidate | Refusal:
        read = self.read(pair)
        assert isinstance(read, Pair), read
        return adopt_batch.fn([read], [self.bead(read, case)], self.context)[0]


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path)


def deep(image: np.ndarray) -> np.ndarray:
    return image[..., 0].astype(np.uint16) * 257


def with_alpha(image: np.ndarray, alpha: int) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], alpha, np.uint8)])


@pytest.mark.parametrize(
    ("made", "said"),
    [(lambda a: a[:200], "another size than its source: 256x200, source 256x256"),
     (deep, "16-bit grey, source 8-bit RGB"),
     (lambda a: a[..., 0], "8-bit grey, source 8-bit RGB"),
     (lambda a: with_alpha(a, 128), "transparent"),
     (lambda _: b"no image", "not an image"),
     (lambda _: b"", "empty"),
     (lambda a: encoded_png(a)[:2000], "truncated"),
     (lambda a: a[:40, :40], "too small")],
)  # fmt: skip
def test_a_candidate_that_cannot_be_compared_is_refused(studio, made, said):
    found = studio.read(studio.pair(made(studio.case.after)))
    assert isinstance(found, Refusal)
    assert (found.subject, found.stage) == ("a.png", Stage.ADOPT)
    assert said in found.reason


def test_a_source_or_mask_that_cannot_be_read_is_refused(studio):
    assert "source cannot be used: not an image" in studio.read(studio.pair(before=b"x")).reason
    small = studio.read(studio.pair(mask=np.full((9, 9), 255, np.uint8)))
    assert "its mask" in small.reason
    gone = studio.pair()
    Path(gone.candidate).unlink()
    assert "unreadable" in studio.read(gone).reason


def test_a_pair_of_a_forgotten_source_is_refused_and_no_byte_of_it_is_kept(studio):
    pair = studio.pair()
    source = Path(pair.source).read_bytes()
    forgotten = {hashlib.sha256(source).hexdigest(): "forgotten: contract ended"}
    (found,) = read_pairs.fn([pair], studio.context, PARAMS, forgotten)
    assert (found.subject, found.reason) == (
        "a.png", "source cannot be used: forgotten: contract ended",
    )  # fmt: skip
    kept = [path for path in Path(studio.context.store_uri).rglob("*") if path.is_file()]
    assert all(path.read_bytes() != source for path in kept)


def test_opaque_alpha_and_a_turned_sensor_lose_nothing(studio):
    opaque = studio.read(studio.pair(with_alpha(studio.case.after, 255)))
    assert np.array_equal(studio.store.get_image(opaque.image), studio.case.after)
    turned = Image.Exif()
    turned[0x0112] = 3
    upside_down = studio.case.after[::-1, ::-1]
    found = studio.read(studio.pair(upside_down, exif=turned))
    assert np.array_equal(studio.store.get_image(found.image), studio.case.after)


def test_a_16_bit_pair_keeps_its_depth(studio):
    pair = studio.pair(deep(studio.case.after), before=deep(studio.case.before))
    found = studio.adopted(pair)
    assert isinstance(found, Candidate)
    assert studio.store.get_image(found.image).dtype == np.uint16


def test_the_candidate_is_what_came_and_no_more_is_said_than_was_told(studio):
    case = studio.case
    spilled = case.after.copy()
    spilled[3, 3] ^= 8  # off the bead: it must stay, and be judged
    found = studio.adopted(studio.pair(spilled))
    assert isinstance(found, Candidate)
    assert np.array_equal(studio.store.get_image(found.image), spilled)
    assert found.making is None
    edit = found.plan.edit
    assert (edit.maker, edit.generation, edit.prompt) == ("a designer", None, "")
    assert edit.region == "derived"
    assert not {"seed", "strength", "steps", "guidance_scale"} & set(edit.model_dump())
    region = studio.store.get_mask(found.plan.region)
    differs = (spilled != case.before).any(axis=2)
    assert not (region & ~case.bead).any()
    assert (region & differs).sum() >= 0.95 * (differs & case.bead).sum()


def test_a_given_mask_is_the_region(studio):
    mask = np.zeros((256, 256), np.uint8)
    mask[studio.case.region] = 255
    found = studio.adopted(studio.pair(mask=mask))
    assert found.plan.edit.region == "given"
    assert np.array_equal(studio.store.get_mask(found.plan.region), studio.case.region)


def test_no_bead_and_no_change_are_refusals(studio):
    read = studio.read(studio.pair())
    none = Refusal(subject="x", stage=Stage.SEGMENT, reason="no bead: best S_mask .5")
    found = adopt_batch.fn([read], [none], studio.context)[0]
    assert (found.stage, found.reason) == (
        Stage.ADOPT, "no bead in its source: no bead: best S_mask .5",
    )  # fmt: skip
    same = studio.adopted(studio.pair(studio.case.before))
    assert (same.stage, same.reason.split(":")[0]) == (Stage.REGION, "nothing changed")


def test_a_candidate_is_the_same_under_another_name_and_another_by_another_maker(studio):
    pair = studio.pair()
    ids = [
        studio.adopted(pair.model_copy(update=update)).id
        for update in ({}, {"name": "b.png"}, {"maker": "another"}, {"kind": "rust"})
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_copies_and_candidates_on_defective_parts_are_refused(studio):
    first = studio.adopted(studio.pair())
    copy = first.model_copy(
        update={"plan": first.plan.model_copy(
            update={"edit": first.plan.edit.model_copy(update={"name": "b.png"})})}
    )  # fmt: skip
    refused = Refusal(subject="c.png", stage=Stage.ADOPT, reason="missing: x")
    grown = Grown(0, [], [])
    assert take_in(grown, [[refused], [first, copy]], 0) == [first.plan.source]
    assert grown.listed == 1
    assert [one.id for one in grown.candidates] == [first.id]
    assert [one.subject for one in grown.refusals] == ["c.png", "b.png"]
    assert grown.refusals[1].reason == "copy: the same candidate as a.png"
    assert [one.id for one in grown.real_sources] == [first.plan.source.id]
    ko: Source = first.plan.source.model_copy(update={"label": "KO", "name": "ko.png"})
    defective = Grown(1, [ko], [])
    assert take_in(defective, [[first]], 0) == []
    assert defective.candidates == []
    assert defective.refusals[0].reason.startswith("on a defective part: its source is ko.png")


@pytest.mark.parametrize(
    ("generation", "allowed", "comes_in"),
    [(None, 0, True), (0, 0, True), (2, 0, False), (2, 2, True)],
)
def test_later_generations_come_in_by_name_only(studio, generation, allowed, comes_in):
    pair = studio.pair().model_copy(update={"generation": generation})
    grown = Grown(0, [], [])
    take_in(grown, [[studio.adopted(pair)]], allowed)
    assert bool(grown.candidates) is comes_in
    assert bool(grown.refusals) is not comes_in
