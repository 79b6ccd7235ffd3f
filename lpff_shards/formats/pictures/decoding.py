"""Decoding of picture files to RGB pixels: PNG by libspng, JPEG by libjpeg-turbo, WebP by Pillow's libwebp.

Export, `verify --deep` and the loaders all use it, so a file has the same pixels, or the same fault, in each.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.pictures import jpeg, png
from lpff_shards.formats.pictures.header import PictureHeader
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.formats.pictures.png_chunks import stripped

Pixels = NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""


class PictureError(Exception):
    """A picture that cannot be decoded or stored as requested; the text gives the reason."""


def decoded(data: bytes) -> Pixels:
    """Return the pixels of a PNG, JPEG or WebP file, uint8 [height, width, 3], RGB.

    Raises:
        FormatError: the file is not a whole picture file.
        PictureError: the file does not decode.
    """
    return decode(data, inspect(data))


def decode(data: bytes, header: PictureHeader) -> Pixels:
    """Return the pixels of a picture file, given its header from `inspect`.

    Keeps the high byte of 16 bits and the first frame of an animation, and drops transparency. Color profiles and
    orientation are not applied. Unreadable metadata is no fault.

    Raises:
        PictureError: the file does not decode, or its decoder reports it as cut or corrupt.
    """
    try:
        pixels = _decode(data, header)
    except MemoryError:
        # The picture is not at fault.
        raise
    except Exception as error:  # decoders raise many types on hostile bytes
        raise PictureError(f"the picture does not decode: {error}") from None
    height, width, _ = pixels.shape
    if (width, height) != (header.width, header.height):
        raise PictureError(f"the picture decodes to {width}x{height}, not {header.width}x{header.height}")
    return pixels


def _decode(data: bytes, header: PictureHeader) -> Pixels:
    if header.kind == "png":
        return png.decode(data if header.plain else stripped(data, header.mode))
    if header.kind == "jpeg":
        return jpeg.decode(data, header.mode)
    return _webp(data)


def _webp(data: bytes) -> Pixels:
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns of large pictures; their size is checked already.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            return np.asarray(image.convert("RGB"))
