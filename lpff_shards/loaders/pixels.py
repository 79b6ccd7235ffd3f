"""From a stored picture file to RGB pixels, by the fastest decoder that is installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lpff_shards.wire.decoding import Pixels, decode
from lpff_shards.wire.pictures import inspect


def decoded(data: bytes) -> Pixels:
    """The pixels of a PNG, JPEG or WebP file, uint8 [height, width, 3], RGB.

    Plain PNGs are decoded by libspng, JPEGs by simplejpeg where it is installed, all others by Pillow.

    Raises:
        WireError: it is not a whole picture file.
        PictureError: it does not decode.
    """
    header = inspect(data)
    jpeg = _simplejpeg() if header.kind == "jpeg" and header.mode == "RGB" else None
    if jpeg is not None:
        try:
            pixels: Pixels = jpeg(data)
            return pixels
        except ValueError:
            pass  # Pillow has better words for what is wrong
    return decode(data, header)[0]


@lru_cache(maxsize=1)
def _simplejpeg() -> Callable[[bytes], Any] | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    found: Callable[[bytes], Any] = simplejpeg.decode_jpeg
    return found
