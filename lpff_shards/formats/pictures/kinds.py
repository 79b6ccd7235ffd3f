"""What a picture file is: kind, size, color mode, and what it holds besides pixels, without decoding."""

from __future__ import annotations

import struct

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.header import PictureHeader
from lpff_shards.formats.pictures.jpeg import glance_jpeg, inspect_jpeg
from lpff_shards.formats.pictures.png_chunks import SIGNATURE, glance_png, inspect_png
from lpff_shards.formats.pictures.webp import glance_webp, inspect_webp


def inspect(data: bytes) -> PictureHeader:
    """Read a whole picture file's header and check that the file is not cut short.

    Raises:
        FormatError: it is none of the three kinds, is cut short, has no pixels or too many, or is of a kind that our
            loaders do not decode.
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
    """What the first bytes of a picture file say of it: kind, size, mode and, if they reach it, orientation.

    Returns:
        None where they do not reach the size.

    Raises:
        FormatError: they are of no picture that `inspect` takes.
    """
    try:
        if data.startswith(SIGNATURE):
            return glance_png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return glance_jpeg(data)
        return glance_webp(data) if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
    except (IndexError, struct.error):
        return None
