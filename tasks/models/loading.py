"""Each model is loaded once a process and used by one thread at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from tasks.models.device import resolve_device
from tasks.models.embedder import Embedder
from tasks.models.inpainter import Inpainter
from tasks.models.model_set import ModelSet, open_model_set, require_intact
from tasks.models.segmenter import Segmenter

_LOADING = threading.Lock()
_LOCKS = {
    "segmenter": threading.Lock(),
    "inpainter": threading.Lock(),
    "embedder": threading.Lock(),
}


@lru_cache(maxsize=4)
def verified(name: str, fingerprint: str) -> ModelSet:
    """The set, its files hashed once a process; a changed one is refused."""
    models = open_model_set(name)
    require_intact(models)
    return models


@lru_cache(maxsize=4)
def _load_segmenter(name: str, fingerprint: str, device: str) -> Segmenter:
    models = verified(name, fingerprint)
    return Segmenter.load(models.segmenter.format, models.path_of(models.segmenter), device)


@lru_cache(maxsize=2)
def _load_inpainter(name: str, fingerprint: str, device: str) -> Inpainter:
    models = verified(name, fingerprint)
    return Inpainter.load(
        models.path_of(models.inpainter),
        device,
        revision=models.inpainter.revision,
        adapter=models.adapter_path,
        full_precision=models.full_precision,
    )


@lru_cache(maxsize=4)
def _load_embedder(name: str, fingerprint: str, device: str) -> Embedder:
    models = verified(name, fingerprint)
    return Embedder.load(models.embedder.format, models.path_of(models.embedder), device)


@contextmanager
def segmenter(name: str, fingerprint: str, device: str) -> Iterator[Segmenter]:
    """The segmenter of a set, for this thread alone while the block runs."""
    with _LOCKS["segmenter"]:
        with _LOADING:
            model = _load_segmenter(name, fingerprint, resolve_device(device))
        yield model


@contextmanager
def inpainter(name: str, fingerprint: str, device: str) -> Iterator[Inpainter]:
    """The inpainter of a set, for this thread alone while the block runs."""
    with _LOCKS["inpainter"]:
        with _LOADING:
            model = _load_inpainter(name, fingerprint, resolve_device(device))
        yield model


@contextmanager
def embedder(name: str, fingerprint: str, device: str) -> Iterator[Embedder]:
    """The embedder of a set, for this thread alone while the block runs."""
    with _LOCKS["embedder"]:
        with _LOADING:
            model = _load_embedder(name, fingerprint, resolve_device(device))
        yield model
