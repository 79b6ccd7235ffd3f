"""From a picture file to RGB pixels: PNG by libspng, JPEG by libjpeg-turbo, WebP by Pillow's libwebp.

Export, `verify --deep` and the loaders all decode here, so that a file has the same pixels, or the same fault, in each.
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
    """A picture that cannot be decoded or stored as asked; the text says why."""


def decoded(data: bytes) -> Pixels:
    """The pixels of a PNG, JPEG or WebP file, uint8 [height, width, 3], RGB.

    Raises:
        FormatError: it is not a whole picture file.
        PictureError: it does not decode.
    """
    return decode(data, inspect(data))


def decode(data: bytes, header: PictureHeader) -> Pixels:
    """The pixels of a picture file, given what `inspect` tells of it.

    Of 16 bits the high byte is taken, of transparency nothing, of an animation the first frame. Color profiles and
    orientation are not applied. Metadata that cannot be read is no fault.

    Raises:
        PictureError: it does not decode, or its decoder calls it cut or corrupt.
    """
    try:
        pixels = _decode(data, header)
    except MemoryError:
        # The machine's fault, not the picture's.
        raise
    except Exception as error:  # decoders raise many kinds on hostile bytes
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
        # Pillow warns of large pictures, whose pixels are counted already.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            return np.asarray(image.convert("RGB"))
