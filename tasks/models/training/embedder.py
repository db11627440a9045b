"""Training the tiny CLIP: captions pull kinds together, two views of a window keep its identity.

Loss = cross-entropy of image-text cosines against captions of the same kind (Radford et al. 2021,
with the many captions of a kind sharing the target, as in Khosla et al. 2020) + NT-Xent between
two views of a window (Chen et al. 2020): without it all cracks would collapse into one point, and
deduplication would merge them all.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tasks.models.training.autoencoder import Log, one_cycle
from tasks.models.training.checkpoints import load_checkpoint, save_checkpoint

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def model_config(vocabulary: int, context: int) -> dict[str, Any]:
    """The `open_clip_config.json` of the tiny embedder: a small ResNet and text transformer."""
    return {
        "model_cfg": {
            "embed_dim": 512,
            "vision_cfg": {"image_size": 64, "layers": [1, 2, 2, 1], "width": 24, "head_width": 64},
            "text_cfg": {
                "context_length": context,
                "vocab_size": vocabulary,
                "width": 64,
                "heads": 4,
                "layers": 2,
                "hf_tokenizer_name": "poolstar-tiny",
                "tokenizer_kwargs": {"clean": "whitespace"},
            },
        },
        "preprocess_cfg": {
            "mean": MEAN,
            "std": STD,
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def new_embedder(vocabulary: int, context: int) -> Any:
    """A fresh CLIP of that config."""
    from open_clip.model import CLIP

    config = model_config(vocabulary, context)["model_cfg"]
    text = {k: v for k, v in config["text_cfg"].items() if not k.startswith(("hf_", "tokenizer_"))}
    return CLIP(config["embed_dim"], config["vision_cfg"], text)


def train_embedder(
    images: NDArray[np.uint8],
    kinds: NDArray[np.int64],
    tokens: torch.Tensor,
    checkpoint: Path,
    *,
    steps: int,
    batch: int = 96,
    vocabulary: int,
    learning_rate: float = 1e-3,
    seed: int = 0,
    log: Log = print,
) -> Any:
    """A trained CLIP.

    Args:
        images: (n, 64, 64, 3) uint8. kinds: (n,) index. tokens: (n, context) of each caption.
    """
    torch.manual_seed(seed)
    model = new_embedder(vocabulary, tokens.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=5e-2)
    first = 0
    if (state := load_checkpoint(checkpoint)) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    started = time.monotonic()
    model.train()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * one_cycle(step, steps)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        picks = torch.randint(len(images), (batch,), generator=generator)
        clean = torch.from_numpy(images[picks.numpy()]).permute(0, 3, 1, 2).float()
        views = torch.cat([augmented(clean, generator), augmented(clean, generator)])
        rows = model.encode_image(views, normalize=True)
        words = model.encode_text(tokens[picks], normalize=True)
        kind = torch.from_numpy(kinds[picks.numpy()])
        caption_loss, hits = _caption_loss(rows, words, kind)
        loss = caption_loss + 0.5 * _identity_loss(rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0:
            log(f"clip {step + 1}/{steps} loss {loss.item():.3f} kind hits {hits:.2f} "
                f"{time.monotonic() - started:.0f} s")  # fmt: skip
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save_checkpoint(
                checkpoint,
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
            )
    return model.eval()


def augmented(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each (3, 64, 64) image in 0-255 shifted by up to 2 px, brighter or darker, with new grain."""
    n = len(images)
    padded = functional.pad(images, (2, 2, 2, 2), mode="reflect")
    rows, cols = torch.randint(0, 5, (2, n), generator=generator)
    shifted = torch.stack(
        [
            padded[i, :, r : r + images.shape[2], c : c + images.shape[3]]
            for i, (r, c) in enumerate(zip(rows.tolist(), cols.tolist(), strict=True))
        ]
    )
    gain = 1 + 0.08 * torch.randn(n, 1, 1, 1, generator=generator)
    grain = 4 * torch.rand(n, 1, 1, 1, generator=generator)
    noisy = shifted * gain + grain * torch.randn(shifted.shape, generator=generator)
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    return (noisy.clamp(0, 255) / 255 - mean) / std


def _caption_loss(
    rows: torch.Tensor, words: torch.Tensor, kind: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Soft cross-entropy both ways; every caption of the same kind is a right answer."""
    cosine = rows @ words.T
    same = (torch.cat([kind, kind])[:, None] == kind[None, :]).float()
    logits = cosine / 0.07
    by_image = -(same / same.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    by_text = -(same / same.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    best = logits.argmax(1)
    hits = (kind[best] == torch.cat([kind, kind])).float().mean()
    return (by_image + by_text) / 2, float(hits)


def _identity_loss(rows: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """NT-Xent: each view must find the other view of its window among all."""
    n = len(rows) // 2
    logits = rows @ rows.T / temperature
    logits.fill_diagonal_(-1e4)
    partner = torch.cat([torch.arange(n) + n, torch.arange(n)])
    return functional.cross_entropy(logits, partner)


def captions_as_tokens(tokenizer: Any, captions: Sequence[str]) -> torch.Tensor:
    """(n, context) token ids by the tokenizer that the saved model will use."""
    return torch.as_tensor(tokenizer(list(captions)))
