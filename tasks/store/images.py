"""Image bytes to pixels and back: bounded, lossless, and refused with a reason when not usable."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tasks.domain.errors import ImageRefused
from tasks.domain.images import Pixels

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"}
)
UNBOUNDED = 2**62
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
GREY_16_MODES = frozenset({"I;16", "I;16B", "I;16L", "I"})


def archived_pixels(data: bytes) -> Pixels:
    """The pixels of an image that was bounded when it came in.

    Raises:
        ImageRefused: as `decoded_pixels`.
    """
    return decoded_pixels(data, max_pixels=UNBOUNDED, min_side_px=1)


def decoded_pixels(data: bytes, *, max_pixels: int, min_side_px: int) -> Pixels:
    """The image's pixels, upright, in its own depth.

    Args:
        data: the file's bytes; its header is checked before anything is decoded.
        max_pixels: larger images are refused undecoded.
        min_side_px: smaller images are refused.

    Returns:
        (H, W, 3) uint8 for colour and palette images, (H, W) uint8 or uint16 for grey ones.
        EXIF orientation is applied, which moves pixels but changes none.

    Raises:
        ImageRefused: not an image, truncated, animated, too large, too small, transparent, or in
            a colour space whose conversion would change its values. The message is the reason.
    """
    if not data:
        raise ImageRefused("the file is empty; expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _require_bounded(image, max_pixels, min_side_px)
                image.load()
                return _pixels_of(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as exc:
        raise ImageRefused(f"not an image; expected one of {', '.join(FORMATS)}") from exc
    except Image.DecompressionBombError as exc:
        raise ImageRefused(f"too large: expected at most {max_pixels} pixels") from exc
    except (OSError, SyntaxError, ValueError, EOFError) as exc:
        if isinstance(exc, ImageRefused):
            raise
        raise ImageRefused(f"cannot be decoded, is it truncated? ({exc})") from exc


def _require_bounded(image: Image.Image, max_pixels: int, min_side_px: int) -> None:
    """Refuse by the header alone."""
    width, height = image.size
    if width * height > max_pixels:
        raise ImageRefused(
            f"too large: {width}x{height} is over {max_pixels} pixels; raise ingest.max_pixels"
        )
    if min(width, height) < min_side_px:
        raise ImageRefused(
            f"too small: {width}x{height}; expected sides of {min_side_px} px or more"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise ImageRefused(f"animated: {image.n_frames} frames; expected one still image")  # type: ignore[attr-defined]


def _pixels_of(image: Image.Image) -> Pixels:
    """The array of a decoded image, in a mode that loses nothing."""
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        low, _ = rgba.getchannel("A").getextrema()
        if isinstance(low, tuple) or low < 255:
            raise ImageRefused("transparent: expected an opaque image; flatten its alpha channel")
        image = rgba.convert("L") if image.mode == "LA" else rgba.convert("RGB")
    if image.mode in {"1", "L"}:
        return np.asarray(image.convert("L"), dtype=np.uint8)
    if image.mode in GREY_16_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageRefused("32-bit values: expected 8 or 16 bits a pixel")
        return values.astype(np.uint16)
    if image.mode in {"RGB", "P"}:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
    raise ImageRefused(
        f"colour mode {image.mode}: expected RGB or grey; convert it to RGB with its colour profile"
    )


def encoded_png(pixels: NDArray[np.generic]) -> bytes:
    """Lossless PNG bytes of (H, W) uint8, uint16 or bool, or (H, W, 3) uint8."""
    buffer = io.BytesIO()
    array = np.asarray(pixels, dtype=np.uint8) * 255 if pixels.dtype == bool else pixels
    Image.fromarray(array).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def image_suffix(data: bytes) -> str:
    """The suffix of an image file by its header, with its dot; `.bin` where it is none of ours."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return {"JPEG": ".jpg", "TIFF": ".tif"}.get(
                image.format or "", f".{image.format}".lower()
            )
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ".bin"


def decoded_png(data: bytes) -> Pixels:
    """The pixels of a PNG that poolstar wrote."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        values = np.asarray(image)
    return values.astype(np.uint16) if values.dtype == np.int32 else values


def decoded_mask(data: bytes) -> NDArray[np.bool_]:
    """The (H, W) mask of a PNG that poolstar wrote."""
    return np.asarray(decoded_png(data) > 0)
