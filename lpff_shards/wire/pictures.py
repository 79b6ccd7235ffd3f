"""What a picture file is: kind, size, color mode, and what it holds beside its pixels, without decoding."""

from __future__ import annotations

import struct

from lpff_shards.wire.errors import WireError
from lpff_shards.wire.jpeg import inspect_jpeg
from lpff_shards.wire.picture_header import PictureHeader
from lpff_shards.wire.png_chunks import SIGNATURE, inspect_png
from lpff_shards.wire.webp import inspect_webp


def inspect(data: bytes) -> PictureHeader:
    """Read a whole picture file's header and check that the file is not cut short.

    Raises:
        WireError: it is none of the three kinds, is cut short, has no pixels or too many, or is of a kind that our
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
        raise WireError("the picture is cut short") from None
    if not data:
        raise WireError("the file is empty")
    raise WireError(f"not a PNG, JPEG or WebP file: it starts with {data[:8].hex(' ')}")
