"""Headers of weight files: names and shapes, without the weights."""

from pathlib import Path

Shapes = dict[str, tuple[int, ...]]


def header_shapes(path: Path) -> Shapes:
    """Name and shape of every tensor in a safetensors file.

    Raises:
        OSError, ValueError: there is no such file, or it is cut off or of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"Expected {path}, but there is none")
    try:
        with safe_open(path, framework="np") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as exc:
        raise ValueError(f"Expected safetensors in {path}, but: {exc}") from exc
