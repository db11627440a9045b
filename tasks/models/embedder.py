"""The embedder: CLIP (Radford et al. 2021) through open_clip, as unit rows of float32.

Both sets are folders in open_clip's own format (`open_clip_config.json`,
`open_clip_model.safetensors`), loaded by its `local-dir:` schema.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ModelSetError
from tasks.models.headers import header_shapes

if TYPE_CHECKING:
    import torch

FORMAT = "open_clip_dir"
WEIGHTS = "open_clip_model.safetensors"
DEVICE_BATCH = 32


class Embedder:
    """A loaded CLIP on one device, in evaluation mode."""

    def __init__(self, model: Any, preprocess: Any, tokenizer: Any, device: str) -> None:
        self._model = model.to(device).eval()
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self.device = device

    @classmethod
    def load(cls, kind: str, path: Path, device: str) -> "Embedder":
        """Load an open_clip folder; weights are never random, never pickled.

        Raises:
            ModelSetError: the folder lacks its config or weights, or they do not fit.
        """
        import open_clip

        if kind != FORMAT:
            raise ModelSetError(f"Expected the embedder format {FORMAT}, but got {kind!r}")
        for name in ("open_clip_config.json", WEIGHTS):
            if not (path / name).is_file():
                raise ModelSetError(f"Expected {name} in {path}; an embedder without it is random")
        try:
            model, preprocess = open_clip.create_model_from_pretrained(
                f"local-dir:{path}", precision="fp32"
            )
            _require_all_weights(model, path / WEIGHTS)
            tokenizer = open_clip.get_tokenizer(f"local-dir:{path}")
        except (OSError, RuntimeError, ValueError, KeyError) as exc:
            raise ModelSetError(f"Expected an open_clip model in {path}, but: {exc}") from exc
        return cls(model, preprocess, tokenizer, device)

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(n, dim) unit rows, in order.

        Images run in device batches of one size, the last one padded, so that a row does not
        depend on how many others come along: cosines near .995 would flip otherwise.

        Args:
            images: (h, w, 3) uint8 each, of any sizes; n may be 0.
        """
        import torch
        from PIL import Image

        inputs = [self._preprocess(Image.fromarray(image)) for image in images]
        with torch.inference_mode():
            return self._in_batches(inputs, self._model.encode_image)

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim) unit rows of texts."""
        import torch

        with torch.inference_mode():
            return self._in_batches(list(self._tokenizer(list(texts))), self._model.encode_text)

    def _in_batches(self, inputs: Sequence["torch.Tensor"], encode: Any) -> NDArray[np.float32]:
        """Encode in padded batches and normalise."""
        import torch

        rows = [np.zeros((0, self.dim), dtype=np.float32)]
        for start in range(0, len(inputs), DEVICE_BATCH):
            part = list(inputs[start : start + DEVICE_BATCH])
            padded = torch.stack(part + [part[-1]] * (DEVICE_BATCH - len(part)))
            encoded = encode(padded.to(self.device), normalize=True)[: len(part)]
            rows.append(encoded.float().cpu().numpy())
        return np.concatenate(rows)

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return int(self._model.text_projection.shape[-1])


def _require_all_weights(model: Any, path: Path) -> None:
    """Raise unless the file holds every weight of the model, at its shape."""
    held = header_shapes(path)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if missing := sorted(name for name in wanted if held.get(name) != wanted[name]):
        raise ModelSetError(f"Expected all weights in {path}, but {missing[:3]} are not there")
