"""The description of an sd15 folder: any plant's words for a sound surface, none for defects."""

import pytest

from tasks.models.model_set import damaged_files
from tasks.models.sd15 import describe_sd15


@pytest.mark.parametrize("words", [(), ("a sound casting",)])
def test_the_words_for_a_sound_surface_are_the_plants(tmp_path, words):
    for name in ("sam_vit_b_01ec64.pth", "inpainting.safetensors", "clip/open_clip_config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"stands for weights")
    models = describe_sd15(tmp_path, *words)
    assert models.sound_prompt == (words or ("a sound weld bead, close-up photograph",))[0]
    assert models.prompts == {}
    assert damaged_files(models) == []
