"""From a picture file to RGB pixels: plain PNGs by libspng, which is twice as fast, all others by Pillow."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lpff_shards.wire import png
from lpff_shards.wire.pictures import PictureHeader

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""

_ORIENTATION = 0x0112
_CONVERTIBLE = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


class PictureError(Exception):
    """A picture that cannot be stored as asked; the text says why."""


def decode(data: bytes, header: PictureHeader) -> tuple[Pixels, list[str]]:
    """The pixels, and what of the file does not come with them, in words.

    Raises:
        PictureError: it does not decode, or has no plain conversion to RGB.
    """
    pixels = png.decode(data, header.height, header.width) if header.plain else None
    return (pixels, []) if pixels is not None else _any(data, header)


def _any(data: bytes, header: PictureHeader) -> tuple[Pixels, list[str]]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures, whose pixels are counted already, and of odd EXIF data, which is dropped.
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data), formats=(header.kind.upper(),))
            image.load()
            lost = _lost(image)
    except Exception as error:  # Pillow's decoders raise many kinds on hostile bytes
        raise PictureError(f"the picture does not decode: {error}") from None
    if image.mode not in _CONVERTIBLE:
        raise PictureError(f"the picture has colour mode {image.mode}, which has no plain conversion to RGB")
    if image.mode == "P":
        # A palette's transparency goes as alpha does, with the colours left alone.
        image = image.convert("RGBA")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), lost


def _lost(image: Image.Image) -> list[str]:
    lost = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        lost.append(f"first of {frames} frames taken")
    if image.info.get("icc_profile"):
        lost.append("colour profile dropped")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        lost.append("EXIF orientation dropped, not applied")
    return lost
