"""Reproduction: equality is bit for bit, distance is the formula's, differences are named."""

import numpy as np
import pytest

from tasks.domain.reproduction import (
    SHOWN,
    Deviation,
    Reproduction,
    deviation_of,
    named_differences,
)

REGION = np.zeros((8, 10), dtype=bool)
REGION[2:6, 3:8] = True


def image(dtype=np.uint8, channels: int | None = 3) -> np.ndarray:
    shape = (8, 10) if channels is None else (8, 10, channels)
    return np.random.default_rng(0).integers(20, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "channels"), [(np.uint8, 3), (np.uint8, None), (np.uint16, None)]
)
def test_equal_images_deviate_in_nothing_and_one_bit_is_seen(dtype, channels):
    archived = image(dtype, channels)
    assert deviation_of(archived, archived.copy(), REGION) is None
    again = archived.copy()
    again[3, 4] ^= 1
    found = deviation_of(archived, again, REGION)
    assert found is not None
    assert (found.largest, found.differing_px, found.outside_px) == (1, 1, 0)


def test_psnr_is_that_of_the_region():
    archived = image()
    again = archived.copy()
    again[REGION] += 5
    found = deviation_of(archived, again, REGION)
    assert found.psnr_db == pytest.approx(20 * np.log10(255 / 5))
    again[0, 0, 1] += 40
    assert deviation_of(archived, again, REGION) == Deviation(
        psnr_db=found.psnr_db, largest=40, differing_px=21, outside_px=1
    )


def test_differences_downwards_are_not_wrapped_around():
    archived = image()
    again = archived.copy()
    again[3, 4] -= 7
    assert deviation_of(archived, again, REGION).largest == 7


def test_other_shapes_or_types_differ_everywhere():
    archived = image()
    for again in (archived[:, :9], archived[..., 0], archived.astype(np.uint16)):
        found = deviation_of(archived, again, REGION)
        assert (found.psnr_db, found.differing_px) == (None, 80)


def test_differences_are_named_by_key_and_value():
    then = {"device": "cpu", "libraries": {"torch": "2.9", "numpy": "2.1"}, "set": "tiny",
            "weights": {"unet": "a" * 64, "gone": "b" * 64}}  # fmt: skip
    now = {"device": "cuda", "libraries": {"torch": "2.14", "numpy": "2.1"}, "set": "other",
           "weights": {"unet": "c" * 64}}  # fmt: skip
    names = {"device": "device", "libraries": "version of", "weights": "weights"}
    assert named_differences(then, now, names) == (
        "device: cpu in the record, cuda here",
        "version of torch: 2.9 in the record, 2.14 here",
        f"weights gone: {'b' * 12} in the record, nothing here",
        f"weights unet: {'a' * 12} in the record, {'c' * 12} here",
    )
    assert named_differences(then, then, names) == ()
    many = {"weights": {f"{i:02d}": "x" for i in range(SHOWN + 5)}}
    assert named_differences(many, {}, names)[-1] == "and 5 more"


@pytest.mark.parametrize(
    ("state", "changed", "holds"),
    [("equal", (), True), ("equal", ("time",), False), ("different", (), False),
     ("foreign", (), True), ("foreign", ("pixels",), False)],
)  # fmt: skip
def test_an_image_holds_when_its_record_is_whole_and_makes_it(state, changed, holds):
    one = Reproduction(id="a", table="pool", kind="crack", state=state, changed=changed)
    assert one.holds is holds
