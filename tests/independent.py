"""An independent judge of kinds: a small CNN trained on rendered KO windows alone, without CLIP."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.factory.render import SOUND, TRAINED_KINDS
from tasks.factory.styles import DEMO_PLANT
from tasks.factory.windows import window_samples


def network() -> nn.Sequential:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(), nn.MaxPool2d(2),
        ]  # fmt: skip

    return nn.Sequential(
        *block(3, 24), *block(24, 48), *block(48, 96), *block(96, 128),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, len(TRAINED_KINDS)),
    )  # fmt: skip


class KindClassifier:
    """Names the kind of 64 px windows; trained on random plants and the demo plant, KO only."""

    def __init__(self, windows: int = 6000, epochs: int = 8, seed: int = 5) -> None:
        torch.manual_seed(seed)
        self.network = network()
        samples = [
            *window_samples(seed * 1000 + 1, windows * 2 // 3, sound_share=0.0),
            *window_samples(seed * 1000 + 2, windows // 3, sound_share=0.0, style=DEMO_PLANT),
        ]
        samples = [sample for sample in samples if sample.kind != SOUND]
        images = torch.from_numpy(np.stack([sample.image_rgb for sample in samples]))
        kinds = torch.tensor([TRAINED_KINDS.index(sample.kind) for sample in samples])
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, weight_decay=1e-2)
        batches = len(images) // 64
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs * batches)
        for _ in range(epochs):
            for picks in torch.randperm(len(images))[: batches * 64].view(-1, 64):
                x = _normalised(images[picks])
                x = x.flip(2) if torch.rand(()) < 0.5 else x
                x = x.flip(3) if torch.rand(()) < 0.5 else x
                loss = nn.functional.cross_entropy(self.network(x), kinds[picks])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self.network.eval()

    def names(self, windows: list[NDArray[np.uint8]]) -> list[str]:
        """The kind of each (64, 64, 3) window."""
        with torch.inference_mode():
            logits = self.network(_normalised(torch.from_numpy(np.stack(windows))))
        return [TRAINED_KINDS[i] for i in logits.argmax(1)]


def _normalised(images: torch.Tensor) -> torch.Tensor:
    x = images.permute(0, 3, 1, 2).float() / 255
    return (x - x.mean(dim=(2, 3), keepdim=True)) / 0.15
