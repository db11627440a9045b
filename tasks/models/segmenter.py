"""The segmenter: Segment Anything (Kirillov et al. 2023), the real one or the tiny one.

Both are `segment_anything.modeling.Sam`; the tiny one is described by its own config.json, the
real ones by their checkpoint's name, which ends in the first digits of its MD5.
"""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage
from skimage.transform import resize

from tasks.domain.bead import clean_mask
from tasks.domain.errors import ModelSetError

if TYPE_CHECKING:
    import torch

TINY_FORMAT = "sam_safetensors"
KINDS = ("sam_vit_h", "sam_vit_l", "sam_vit_b")  # the largest first
PUBLISHED = {  # sha256 of Meta's own checkpoints; the digits in their names are of the MD5
    "sam_vit_b_01ec64.pth": "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    "sam_vit_l_0b3195.pth": "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    "sam_vit_h_4b8939.pth": "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
}
POINTS_PER_BATCH = 128
CPU_TENSOR_BYTES = 8 << 20  # larger ones malloc maps anew at each use, at the price of the decoder
STABILITY_OFFSET = 1.0
MAX_IOU = 0.85
MIN_SHARE, MAX_SHARE = 0.002, 0.5  # of the image: less is a speck, more is background
RESEGMENT_POINTS = 5


class SamConfig(BaseModel):
    """The dimensions of a small Sam, and the thresholds of its automatic masks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_px: int = 256
    patch_px: int = 16
    embed_dim: int = 128
    depth: int = 4
    heads: int = 4
    prompt_dim: int = 64
    pred_iou_thresh: float = Field(0.15, ge=0, le=1)
    stability_score_thresh: float = Field(0.25, ge=0, le=1)


def checkpoint_problem(path: Path) -> str | None:
    """Why a checkpoint is not the one that its name says; None where it is.

    A published one has its sha256; any other, `sam_vit_b_<6 digits>.pth`, an MD5 that begins so.
    """
    if not path.is_file():
        return f"Expected a SAM checkpoint at {path}, but there is none"
    expected, what = PUBLISHED.get(path.name), "sha256"
    if expected is None:
        expected, what = path.stem.rpartition("_")[2], "md5"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, what).hexdigest()
    if found.startswith(expected):
        return None
    return (
        f"Expected {path.name} with a {what} that begins with {expected[:6]}, but it begins with "
        f"{found[:6]}; it is damaged or another file, copy it again"
    )


def build_sam(config: SamConfig) -> Any:
    """A `segment_anything.modeling.Sam` of the given dimensions, weights random."""
    from functools import partial

    import torch
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    grid = config.image_px // config.patch_px
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=config.image_px,
            patch_size=config.patch_px,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=4,
            out_chans=config.prompt_dim,
            qkv_bias=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            global_attn_indexes=tuple(range(config.depth)),
            window_size=0,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=config.prompt_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(config.image_px, config.image_px),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=config.prompt_dim, mlp_dim=4 * config.prompt_dim, num_heads=4
            ),
            transformer_dim=config.prompt_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=4 * config.prompt_dim,
        ),
    )


class Segmenter:
    """A loaded Sam on one device."""

    def __init__(self, sam: Any, device: str, thresholds: dict[str, float]) -> None:
        from segment_anything import SamPredictor

        self._sam = sam.to(device).eval()
        self._min_quality = thresholds.get("pred_iou_thresh", 0.88)
        self._min_stability = thresholds.get("stability_score_thresh", 0.95)
        self._predictor = SamPredictor(self._sam)
        self.device = device

    @classmethod
    def load(cls, kind: str, path: Path, device: str) -> "Segmenter":
        """Load the tiny folder (config.json, model.safetensors) or a SAM checkpoint.

        Raises:
            ModelSetError: files are missing, of another model, or not weights alone.
        """
        if kind == TINY_FORMAT:
            return cls._load_tiny(path, device)
        if kind in KINDS:
            return cls._load_checkpoint(kind, path, device)
        known = ", ".join([TINY_FORMAT, *KINDS])
        raise ModelSetError(f"Expected a segmenter format of {known}, but got {kind!r}")

    @classmethod
    def _load_tiny(cls, path: Path, device: str) -> "Segmenter":
        from safetensors.torch import load_file

        try:
            config = SamConfig.model_validate(json.loads((path / "config.json").read_text()))
            sam = build_sam(config)
            sam.load_state_dict(
                {k: v.float() for k, v in load_file(path / "model.safetensors").items()}
            )
        except (OSError, ValueError, RuntimeError) as exc:
            raise ModelSetError(f"Expected a tiny Sam in {path}, but: {exc}") from exc
        thresholds = config.model_dump(include={"pred_iou_thresh", "stability_score_thresh"})
        return cls(sam, device, thresholds)

    @classmethod
    def _load_checkpoint(cls, kind: str, path: Path, device: str) -> "Segmenter":
        import pickle

        import torch
        from segment_anything import sam_model_registry

        if problem := checkpoint_problem(path):
            raise ModelSetError(problem)
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            sam = sam_model_registry[kind.removeprefix("sam_")]()
            sam.load_state_dict(state)
        except (OSError, RuntimeError, pickle.UnpicklingError) as exc:
            raise ModelSetError(f"Expected {kind} weights in {path}, but: {exc}") from exc
        return cls(sam, device, {})

    def masks(
        self, image_rgb: NDArray[np.uint8], points_per_side: int, max_side_px: int
    ) -> NDArray[np.bool_]:
        """Everything the segmenter sees, as masks at the image's own size.

        Args:
            image_rgb: (H, W, 3).
            points_per_side: prompts on a grid, per side.
            max_side_px: the image is shrunk to this longest side first.

        Returns:
            (n, H, W); n may be 0.
        """
        height, width = image_rgb.shape[:2]
        shrink = min(1.0, max_side_px / max(height, width))
        small = image_rgb if shrink == 1.0 else _resized(image_rgb, shrink)
        masks = self._grid_masks(small, points_per_side)
        return masks if shrink == 1.0 else _enlarged(masks, height, width)

    def _grid_masks(self, image_rgb: NDArray[np.uint8], per_side: int) -> NDArray[np.bool_]:
        """Masks of a grid of points, as SAM's automatic generator makes them, but for two things.

        Quality, stability and duplicates are judged on the decoder's own small logits, so that
        only survivors are enlarged; and duplicates are told by the masks' own IoU: by their boxes'
        IoU, as there, a diagonal bead would fall to the plate whose box it shares.
        """
        import torch

        place = (np.arange(per_side) + 0.5) / per_side
        grid = np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2)
        with torch.inference_mode():
            self._predictor.set_image(image_rgb)
            points = self._predictor.transform.apply_coords(
                grid * image_rgb.shape[1::-1], image_rgb.shape[:2]
            )
            kept = torch.zeros(0)
            for start in range(0, len(points), POINTS_PER_BATCH):
                found = self._decoded(points[start : start + POINTS_PER_BATCH])
                kept = _without_duplicates(torch.cat([kept.to(found), found]))
            if not len(kept):
                return np.zeros((0, *image_rgb.shape[:2]), dtype=bool)
            large = self._sam.postprocess_masks(
                kept[:, None], self._predictor.input_size, self._predictor.original_size
            )
            return np.asarray((large[:, 0] > 0.0).cpu().numpy())

    def _decoded(self, points: NDArray[np.float64]) -> "torch.Tensor":
        """(k, h, w) logits of the points' masks that are good and stable, best first."""
        import torch

        some = self._points_at_once
        parts = [self._asked(points[i : i + some]) for i in range(0, len(points), some)]
        logits, quality = (torch.cat(part) for part in zip(*parts, strict=True))
        inner = (logits > STABILITY_OFFSET).sum(dim=(1, 2))
        outer = (logits > -STABILITY_OFFSET).sum(dim=(1, 2))
        is_stable = inner >= self._min_stability * outer.clamp_min(1)
        order = torch.argsort(quality[is_stable], descending=True)
        return logits[is_stable][order]

    @property
    def _points_at_once(self) -> int:
        """Points the decoder is asked together; each has a copy of the image's embedding."""
        if self.device != "cpu":
            return POINTS_PER_BATCH
        embedding = self._predictor.get_image_embedding()
        of_one = embedding.numel() * embedding.element_size()
        return min(POINTS_PER_BATCH, max(1, CPU_TENSOR_BYTES // of_one))

    def _asked(self, points: NDArray[np.float64]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """(k, h, w) logits of the points' masks that are good, and their (k,) quality."""
        import torch

        coords = torch.as_tensor(points, dtype=torch.float32, device=self.device)[:, None]
        labels = torch.ones(len(points), 1, dtype=torch.int, device=self.device)
        sparse, dense = self._sam.prompt_encoder(points=(coords, labels), boxes=None, masks=None)
        logits, quality = self._sam.mask_decoder(
            image_embeddings=self._predictor.get_image_embedding(),
            image_pe=self._sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        is_good = quality.flatten() > self._min_quality
        return logits.flatten(0, 1)[is_good], quality.flatten()[is_good]

    def refined(self, image_rgb: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Each mask asked for again: by points deep inside it, with and without its box.

        A single point leaves a ragged mask where the surface is uneven; several points inside what
        it found are a better question (Kirillov et al. 2023, section 3, prompt iteration).

        Returns:
            (k, H, W), up to six masks for each that is neither a speck nor background.
        """
        import torch

        found = [np.zeros((0, *image_rgb.shape[:2]), dtype=bool)]
        with torch.inference_mode():
            self._predictor.set_image(image_rgb)
            for mask in map(clean_mask, masks):
                if not MIN_SHARE < mask.mean() < MAX_SHARE:
                    continue
                points = _interior_points(mask)
                for box in (None, _box_of(mask)):
                    again, _, _ = self._predictor.predict(
                        point_coords=points, point_labels=np.ones(len(points)), box=box
                    )
                    found.append(np.asarray(again, dtype=bool))
        return np.concatenate(found)

    def resegment(self, image_rgb: NDArray[np.uint8], bead: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The bead found again in an image, prompted by where it was: its box and points inside.

        The prompts come from `bead` alone, so two images of one part get the same question.

        Returns:
            (H, W); empty when `bead` is.
        """
        import torch

        if not bead.any():
            return np.zeros_like(bead)
        points = _interior_points(bead)
        with torch.inference_mode():
            self._predictor.set_image(image_rgb)
            masks, quality, _ = self._predictor.predict(
                point_coords=points, point_labels=np.ones(len(points)), box=_box_of(bead)
            )
        return np.asarray(masks[int(np.argmax(quality))], dtype=bool)


def _without_duplicates(logits: "torch.Tensor") -> "torch.Tensor":
    """The masks (n, h, w) less those whose IoU with an earlier one exceeds MAX_IOU."""
    import torch

    flat = (logits > 0).flatten(1).float()
    both = flat @ flat.T
    area = flat.sum(dim=1)
    iou = both / (area[:, None] + area[None, :] - both).clamp_min(1)
    kept: list[int] = []
    for row in range(len(logits)):
        if area[row] > 0 and not bool((iou[row, kept] > MAX_IOU).any()):
            kept.append(row)
    return logits[torch.tensor(kept, dtype=torch.long, device=logits.device)]


def _box_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(x0, y0, x1, y1) of a mask that is not empty."""
    rows, cols = np.nonzero(mask)
    return np.array([cols.min(), rows.min(), cols.max(), rows.max()])


def _interior_points(bead: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(k, 2) points (x, y) deep inside the bead, spread along its longer extent."""
    depth = ndimage.distance_transform_edt(np.pad(bead, 1))[1:-1, 1:-1]
    rows, cols = np.nonzero(bead)
    along = cols if np.ptp(cols) >= np.ptp(rows) else rows
    edges = np.linspace(along.min(), along.max() + 1, RESEGMENT_POINTS + 1)
    points = []
    for low, high in pairwise(edges):
        part = np.flatnonzero((along >= low) & (along < high))
        if len(part):
            best = part[np.argmax(depth[rows[part], cols[part]])]
            points.append((cols[best], rows[best]))
    return np.array(points, dtype=np.float64)


def _resized(image_rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The image shrunk with anti-aliasing."""
    shape = [max(1, round(side * scale)) for side in image_rgb.shape[:2]]
    values = resize(image_rgb, (*shape, 3), order=1, anti_aliasing=True, preserve_range=True)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _enlarged(masks: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """(n, h, w) masks at the image's size; n may be 0."""
    large = np.zeros((len(masks), height, width), dtype=bool)
    for mask, whole in zip(masks, large, strict=True):
        whole[:] = resize(mask.astype(np.float32), (height, width), order=1) > 0.5
    return large
