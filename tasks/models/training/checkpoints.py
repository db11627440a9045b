"""Checkpoints that a killed training resumes from: safetensors for weights, atomic on disk."""

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state so that `path` holds either the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state at `path`, or None when training starts fresh."""
    if not path.exists():
        return None
    return dict(torch.load(path, weights_only=True))
