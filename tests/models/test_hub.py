"""Pulling sd15 from a hub on loopback: whole, interrupted, wrong, offline, on a full disk."""

import errno
import hashlib
import shutil
from collections import namedtuple

import command_line
import pytest
from hub_server import Hub, serving

from tasks.models import download, hub
from tasks.models.model_set import damaged_files, open_model_set

SAM = "sam_vit_b_01ec64.pth"
CLIP_WEIGHTS = f"{hub.CLIP.name}/{hub.CLIP.revision}/open_clip_model.safetensors"
UNET = (
    f"{hub.INPAINTING.name}/{hub.INPAINTING.revision}/unet/diffusion_pytorch_model.fp16.safetensors"
)


def _content() -> dict[str, bytes]:
    """Small files under the published names, each with its own content."""
    found = {f"sam/{SAM}": b"SAM" * 5000}
    for source in hub.SOURCES:
        prefix = f"{source.name}/{source.revision}/"
        names = [*source.files, *(f"{stem}.safetensors" for stem in source.weights)]
        names += [f"{stem}.fp16.safetensors" for stem in source.weights[:3] if "unet" in stem]
        names += ["README.md", "unet/diffusion_pytorch_model.bin"]
        found |= {prefix + name: f"{prefix}{name} ".encode() * 200 for name in names}
    return found


@pytest.fixture
def remote(monkeypatch):
    """A hub with everything, whose small files are those that are pinned."""
    one = Hub()
    one.files = _content()
    pinned = {SAM: hashlib.sha256(one.files[f"sam/{SAM}"]).hexdigest()}
    monkeypatch.setattr(hub, "PUBLISHED", pinned)
    monkeypatch.setattr(hub, "SIZES", {})
    monkeypatch.setitem(
        hub.CLIP.digests, "open_clip_model.safetensors",
        hashlib.sha256(one.files[CLIP_WEIGHTS]).hexdigest(),
    )  # fmt: skip
    with serving(one):
        monkeypatch.setattr(hub, "SAM_ADDRESS", f"{one.url}/sam")
        monkeypatch.setenv("HF_ENDPOINT", one.url)
        yield one


def _pull(monkeypatch, capsys, folder):
    return command_line.run(monkeypatch, capsys, "models", "pull", "sd15", "--to", str(folder))


def test_a_pulled_set_is_described_and_whole_and_not_asked_for_again(
    remote, tmp_path, monkeypatch, capsys
):
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 0, err
    models = open_model_set(str(tmp_path))
    assert damaged_files(models) == []
    assert models.segmenter.path == SAM
    names = set(models.files)
    assert "inpainting/unet/diffusion_pytorch_model.fp16.safetensors" in names
    assert "inpainting/unet/diffusion_pytorch_model.safetensors" not in names
    assert "inpainting/vae/diffusion_pytorch_model.safetensors" in names  # no half variant there
    assert not [name for name in names if name.endswith((".bin", ".part", ".md"))]
    assert (tmp_path / "clip/open_clip_model.safetensors").read_bytes() == (
        remote.files[CLIP_WEIGHTS]
    )
    remote.asked.clear()
    assert _pull(monkeypatch, capsys, tmp_path)[0] == 0
    assert remote.asked == []


def test_the_segmenter_asked_for_is_the_sets_own_whichever_larger_one_is_there(
    remote, tmp_path, monkeypatch, capsys
):
    (tmp_path / "sam_vit_h_4b8939.pth").write_bytes(b"an earlier pull's")
    assert _pull(monkeypatch, capsys, tmp_path)[0] == 0
    segmenter = open_model_set(str(tmp_path)).segmenter
    assert (segmenter.format, segmenter.path) == ("sam_vit_b", SAM)


@pytest.mark.parametrize("name", ["sam_vit", "sam", "vit_b", "sam_vit_x"])
def test_a_segmenter_that_does_not_exist_is_refused_with_the_names_of_those_that_do(
    name, tmp_path, monkeypatch, capsys
):
    options = ("--to", str(tmp_path), "--segmenter", name)
    status, _, err = command_line.run(monkeypatch, capsys, "models", "pull", "sd15", *options)
    assert status != 0
    said = f"Expected sam_vit_b, sam_vit_l, sam_vit_h as segmenter, but got '{name}'"
    assert said in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_every_segmenter_has_a_size_to_ask_the_disk_for():
    assert {f"{kind}_" for kind in hub.SIZES} == {name[:10] for name in hub.PUBLISHED}


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(remote, tmp_path, monkeypatch, capsys):
    remote.break_after = 4096
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert "goes on from there" in err
    assert "Traceback" not in err
    assert (tmp_path / f"{SAM}.part").stat().st_size == 4096
    assert not (tmp_path / SAM).exists()
    assert not (tmp_path / "model_set.json").exists()
    assert _pull(monkeypatch, capsys, tmp_path)[0] == 0
    assert (f"sam/{SAM}", "bytes=4096-") in remote.asked
    assert (tmp_path / SAM).read_bytes() == remote.files[f"sam/{SAM}"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_part_that_was_all_there_is_taken_without_a_byte_more(
    remote, tmp_path, monkeypatch, capsys
):
    (tmp_path / f"{SAM}.part").write_bytes(remote.files[f"sam/{SAM}"])
    assert _pull(monkeypatch, capsys, tmp_path)[0] == 0
    assert (tmp_path / SAM).read_bytes() == remote.files[f"sam/{SAM}"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (f"sam/{SAM}", SAM),
        (CLIP_WEIGHTS, "clip/open_clip_model.safetensors"),
        (UNET, "inpainting/unet/diffusion_pytorch_model.fp16.safetensors"),
        (UNET.replace("diffusion_pytorch_model.fp16.safetensors", "config.json"),
         "inpainting/unet/config.json"),
    ],
)  # fmt: skip
def test_another_file_than_the_pinned_one_is_refused_and_deleted(
    remote, tmp_path, monkeypatch, capsys, name, place
):
    remote.listed = dict(remote.files)
    remote.files[name] = b"x" + remote.files[name][1:]
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert place in err
    assert "gave another file" in " ".join(err.split())
    assert not (tmp_path / place).exists()
    assert not (tmp_path / f"{place}.part").exists()
    assert not (tmp_path / "model_set.json").exists()


def test_clips_pinned_hash_outweighs_what_the_hub_says(remote, tmp_path, monkeypatch, capsys):
    remote.files[CLIP_WEIGHTS] = b"another model, and the listing agrees"
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert "open_clip_model.safetensors" in err


def test_a_repository_without_safetensors_is_refused(remote, tmp_path, monkeypatch, capsys):
    del remote.files[
        UNET.replace("unet/diffusion_pytorch_model.fp16", "vae/diffusion_pytorch_model")
    ]
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert "vae/diffusion_pytorch_model.safetensors" in err
    assert remote.asked == []


def test_offline_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    with serving(Hub()) as gone:
        address = gone.url
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(hub, "SAM_ADDRESS", address)
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert "on a machine that has one" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_disk_is_told_before_the_first_byte(remote, tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 0))
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert "free disk" in err
    assert remote.asked == []


def test_a_disk_that_fills_meanwhile_is_told_and_keeps_what_came(
    remote, tmp_path, monkeypatch, capsys
):
    def full(source, target, _):
        target.write(source.read(1000))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    status, _, err = _pull(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert "the disk is full" in err
    assert (tmp_path / f"{SAM}.part").stat().st_size == 1000
    monkeypatch.undo()
