"""Properties of a picture file without decoding: kind, size, color mode and extra contents."""

from __future__ import annotations

import struct

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.header import PictureHeader
from lpff_shards.formats.pictures.jpeg import glance_jpeg, inspect_jpeg
from lpff_shards.formats.pictures.png_chunks import SIGNATURE, glance_png, inspect_png
from lpff_shards.formats.pictures.webp import glance_webp, inspect_webp


def inspect(data: bytes) -> PictureHeader:
    """Return the properties of a whole picture file; check that it is not cut short.

    Raises:
        FormatError: it is not a PNG, JPEG or WebP file, is cut short, has no pixels or too many, or the loaders
            cannot decode it.
    """
    try:
        if data.startswith(SIGNATURE):
            return inspect_png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return inspect_jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return inspect_webp(data)
    except (IndexError, struct.error):
        raise FormatError("the picture is cut short") from None
    if not data:
        raise FormatError("the file is empty")
    raise FormatError(f"not a PNG, JPEG or WebP file: it starts with {data[:8].hex(' ')}")


def glance(data: bytes) -> PictureHeader | None:
    """Return a picture file's kind, size, mode and, if the bytes reach it, orientation from its first bytes.

    Returns:
        None if the bytes do not reach the size.

    Raises:
        FormatError: `inspect` would refuse the picture.
    """
    try:
        if data.startswith(SIGNATURE):
            return glance_png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return glance_jpeg(data)
        return glance_webp(data) if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
    except (IndexError, struct.error):
        return None
