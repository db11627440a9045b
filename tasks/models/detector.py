"""Detectors of defective parts: a small CNN that maps defects, and a probe on frozen embeddings.

Both give two logits a view (OK, KO); their difference is the score. The network is plain: strided
3 x 3 convolutions with batch normalisation, then one logit a place, every 8 px; a view's score is
an affine function of the mean of its highest places. It learns from the view's label and, where a
defect's mask is known, from the mask (mixed supervision: Bozic, Tabernik & Skocaj, Computers in
Industry 2021): few defective parts say little by their labels alone. AdamW under a one-cycle
schedule (Smith & Topin 2018). The probe is L2-regularised logistic regression on the mean and the
maximum of a view's window embeddings.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import BadInput
from tasks.models.device import one_thread
from tasks.models.embedder import Embedder

if TYPE_CHECKING:
    import torch
    from torch import nn

Views = NDArray[np.uint8]
Arrays = Mapping[str, NDArray[Any]]
MEAN, SPREAD = 0.45, 0.2  # of grey levels in [0, 1]
SCORED_AT_ONCE = 64
WEIGHT_DECAY = 0.01
HIGHEST = 200  # one place in so many makes the score
PLACE_WEIGHT = 5.0  # of the places' loss against the view's
DEFECT_WEIGHT = 5.0  # of a defect's place against a sound one
FIRST_LOGIT = -2.0  # most places are sound
INVERSE_REGULARISATION = 1.0


def network(width: int) -> "nn.Module":
    """The CNN for (n, 3, h, w) inputs of any size from 32 px, weights as torch draws them.

    It returns (n,) scores and the (n, h / 8, w / 8) logits of the places.
    """
    import torch
    from torch import nn

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                *block(3, width, 2), *block(width, 2 * width, 2), *block(2 * width, 2 * width, 1),
                *block(2 * width, 4 * width, 2), *block(4 * width, 4 * width, 1),
            )  # fmt: skip
            self.places = nn.Conv2d(4 * width, 1, 1)
            self.log_scale = nn.Parameter(torch.zeros(()))
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            places = self.places(self.features(x))[:, 0]
            flat = places.flatten(1)
            highest = flat.topk(max(flat.shape[1] // HIGHEST, 1), dim=1).values
            return self.log_scale.exp() * highest.mean(dim=1) + self.shift, places

    return Detector()


def trained_network(
    batches: Iterable[tuple[Views, NDArray[np.bool_], NDArray[np.bool_]]],
    *,
    steps: int,
    width: int,
    learning_rate: float,
    seed: int,
    device: str,
) -> dict[str, NDArray[Any]]:
    """Weights of a CNN after one pass over the batches, as plain arrays.

    Equal batches and seeds give equal weights, whatever else runs in the process: the weights are
    drawn from a generator of their own, and one thread computes.

    Args:
        batches: (b, h, w, 3) uint8 views, (b,) is_ko, and (b, h, w) masks of the defects, empty
            where unknown; `steps` of them.
    """
    import torch

    model = _initialised(network(width), seed).to(device)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    with one_thread(device):  # trainings run side by side
        for views, is_ko, defects in batches:
            label = torch.from_numpy(is_ko).float().to(device)
            defect = torch.from_numpy(defects).float().to(device)
            scores, places = model(_inputs(views, device))
            loss = _loss(scores, places, label, defect)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return {name: value.cpu().numpy() for name, value in model.state_dict().items()}


def _loss(
    scores: "torch.Tensor", places: "torch.Tensor", label: "torch.Tensor", defect: "torch.Tensor"
) -> "torch.Tensor":
    """Cross-entropy of the views, and of the places of all views but KO ones without a mask."""
    import torch
    from torch.nn.functional import adaptive_max_pool2d, binary_cross_entropy_with_logits

    loss = binary_cross_entropy_with_logits(scores, label)
    known = (label == 0) | defect.flatten(1).any(dim=1)
    if not known.any():
        return loss
    target = adaptive_max_pool2d(defect[known][:, None], places.shape[1:])[:, 0]
    weight = torch.tensor(DEFECT_WEIGHT, device=places.device)
    return loss + PLACE_WEIGHT * binary_cross_entropy_with_logits(
        places[known], target, pos_weight=weight
    )


def network_logits(weights: Arrays, views: Views, device: str) -> NDArray[np.float64]:
    """(n, 2) logits of (n, h, w, 3) views; n may be 0."""
    import torch

    model = network(len(weights["features.0.weight"])).to(device).eval()
    model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
    found = [np.zeros(0)]
    with one_thread(device), torch.inference_mode():
        for start in range(0, len(views), SCORED_AT_ONCE):
            part = _inputs(views[start : start + SCORED_AT_ONCE], device)
            found.append(model(part)[0].double().cpu().numpy())
    score = np.concatenate(found)
    return np.stack([np.zeros_like(score), score], axis=1)


def _inputs(views: Views, device: str) -> "torch.Tensor":
    """(n, 3, h, w) float inputs of uint8 views."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(views)).to(device).permute(0, 3, 1, 2)
    return (x.float() / 255 - MEAN) / SPREAD


def _initialised(model: "nn.Module", seed: int) -> "nn.Module":
    """The model with torch's default weights, uniform to 1 / sqrt(fan in), from the seed."""
    import math

    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_uniform_(part.weight, a=math.sqrt(5), generator=generator)
            if part.bias is not None:
                nn.init.constant_(part.bias, FIRST_LOGIT)
    return model


# --- the probe -------------------------------------------------------------------------------


def view_features(embedder: Embedder, views: Sequence[Views]) -> NDArray[np.float32]:
    """(n, 2 d) mean and maximum of the embeddings of each view's overlapping square windows."""
    windows: list[Views] = []
    owners: list[int] = []
    for row, view in enumerate(views):
        height, width = view.shape[:2]
        side = min(height, width) if height != width else height // 2
        for top in range(0, height - side + 1, max(side // 2, 1)):
            for left in range(0, width - side + 1, max(side // 2, 1)):
                windows.append(view[top : top + side, left : left + side])
                owners.append(row)
    rows = embedder.embed(windows)
    owner = np.array(owners, dtype=np.int64)
    out = np.zeros((len(views), 2 * embedder.dim), dtype=np.float32)
    for row in range(len(views)):
        own = rows[owner == row]
        out[row] = np.concatenate([own.mean(axis=0), own.max(axis=0)])
    return out


def trained_probe(
    features: NDArray[np.float32], is_ko: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Weights and bias of the logistic regression, standardisation folded in.

    Raises:
        BadInput: a class is missing.
    """
    from sklearn.linear_model import LogisticRegression

    if is_ko.all() or not is_ko.any():
        raise BadInput("Expected OK and KO views to train on, but got one class")
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=2000)
    model.fit((features - mean) / spread, is_ko)
    weights = np.asarray(model.coef_[0]) / spread
    return {"weights": weights, "bias": np.asarray(model.intercept_ - mean @ weights)}


def probe_logits(weights: Arrays, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 2) logits, (0, score), of (n, 2 d) features; n may be 0."""
    score = features.astype(np.float64) @ weights["weights"] + weights["bias"]
    return np.stack([np.zeros_like(score), score], axis=1)
