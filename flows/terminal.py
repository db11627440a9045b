"""The terminal: lines for a person on stderr, JSON on stdout, errors as messages."""

import json
import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from tasks.domain.errors import BadInput, PoolstarError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
PoolUri = Annotated[str, typer.Option("--pool", help="The pool's folder or s3:// URI.")]
Version = Annotated[str | None, typer.Option(help="Version; default: the latest.")]
Models = Annotated[str, typer.Option("--models", help="tiny, sd15, or a model set's folder.")]
Surface = Annotated[
    Literal["bead", "whole"] | None,
    typer.Option(
        help="What is inspected: bead (found by SAM; default), or whole: all of the image."
    ),
]
SurfaceMask = Annotated[
    str | None,
    typer.Option("--mask", help="Mask of what is inspected, one for all images (fixed camera)."),
]


@contextmanager
def said_plainly() -> Iterator[None]:
    """Errors as messages: 2 for what the user can mend in the call, 1 for what failed."""
    try:
        yield
    except ValidationError as exc:
        for error in exc.errors():
            place = ".".join(str(part) for part in error["loc"])
            say(f"poolstar: {place or 'parameters'}: {error['msg']}, but got {error['input']!r}")
        sys.exit(2)
    except BadInput as exc:
        say(f"poolstar: {exc}")
        sys.exit(2)
    except PoolstarError as exc:
        say(f"poolstar: {exc}")
        sys.exit(1)


def surface_of(surface: str | None, mask: str | None) -> dict[str, str | None]:
    """The fields of SegmentParams that say what is inspected; empty where neither is named."""
    if surface is None and mask is None:
        return {}
    return {"surface": surface or "mask", "mask": mask}


def say(text: str) -> None:
    """A line for a person."""
    sys.stderr.write(text + "\n")


def print_json(value: dict[str, Any]) -> None:
    """One JSON object for a program; null where a figure is no number."""
    sys.stdout.write(json.dumps(_without_nan(value), allow_nan=False) + "\n")


def _without_nan(value: Any) -> Any:
    """The value as JSON can say it: numbers that are none, and infinities, as None."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def quiet_prefect() -> None:
    """The embedded default: Prefect's temporary server, no analytics, only warnings logged."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("prefect.flow_runs").addFilter(_is_unforeseen)


def _is_unforeseen(record: logging.LogRecord) -> bool:
    """Whether a log record is worth its traceback: errors of our own are said as messages."""
    return record.exc_info is None or not isinstance(record.exc_info[1], PoolstarError)
