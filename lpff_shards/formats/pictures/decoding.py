"""Picture files of any kind: their properties, and their pixels: PNG by libspng, JPEG by libjpeg-turbo, WebP by Pillow.

Export, `verify --deep` and the loaders all use it, so a file has the same pixels, or the same fault, in each.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import jpeg, png, webp
from lpff_shards.formats.pictures.header import PictureHeader, decode_by_pillow

Pixels = NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""
_JPEG = b"\xff\xd8\xff"


class PictureError(Exception):
    """A picture that cannot be decoded or stored as requested; the text gives the reason."""


def inspect(data: bytes) -> PictureHeader:
    """Return the properties of a whole picture file; check that it is not cut short.

    Raises:
        FormatError: it is not a PNG, JPEG or WebP file, is cut short or damaged, has no pixels or too many, or the
            loaders cannot decode it.
    """
    try:
        if data.startswith(png.SIGNATURE):
            return png.inspect(data)
        if data.startswith(_JPEG):
            return jpeg.inspect(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return webp.inspect(data)
    except (IndexError, struct.error):
        raise FormatError("the picture is cut short") from None
    reason = f"not a PNG, JPEG or WebP file: it starts with {data[:8].hex(' ')}"
    raise FormatError(reason if data else "the file is empty")


def glance(data: bytes) -> PictureHeader | None:
    """Return a picture file's kind, size, mode and, if the bytes reach it, orientation from its first bytes.

    Return None if they do not reach the size; raise FormatError if `inspect` would refuse the picture.
    """
    try:
        if data.startswith(png.SIGNATURE):
            return png.glance(data)
        if data.startswith(_JPEG):
            return jpeg.glance(data)
        return webp.glance(data) if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
    except (IndexError, struct.error):
        return None


def decoded(data: bytes) -> Pixels:
    """Return the pixels of a picture file, uint8 [height, width, 3], RGB; see `inspect` and `decode`."""
    return decode(data, inspect(data))


def decode(data: bytes, header: PictureHeader) -> Pixels:
    """Return the pixels of a picture file, given its header from `inspect`.

    Keeps the high byte of 16 bits and the first frame of an animation, and drops transparency. Color profiles and
    orientation are not applied. Unreadable metadata is no fault.

    Raises:
        PictureError: the file does not decode, or its decoder reports it as cut or corrupt.
    """
    try:
        if header.kind == "png":
            pixels = png.decode(data if header.plain else png.stripped(data, header.mode))
        elif header.kind == "jpeg":
            pixels = jpeg.decode(data, header.mode)
        else:
            pixels = decode_by_pillow(data, "webp")
    except MemoryError:
        # The picture is not at fault.
        raise
    except Exception as error:  # decoders raise many types on hostile bytes
        raise PictureError(f"the picture does not decode: {error}") from None
    height, width, _ = pixels.shape
    if (width, height) != (header.width, header.height):
        raise PictureError(f"the picture decodes to {width}x{height}, not {header.width}x{header.height}")
    return pixels
