"""From a source's picture file to the stored picture: passed through, or decoded, flipped, resized and encoded."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from lpff_shards.options import DEFAULT_JPEG_QUALITY, PictureOptions
from lpff_shards.schemas.sample import Picture
from lpff_shards.wire.errors import WireError
from lpff_shards.wire.pictures import PictureHeader, inspect

if TYPE_CHECKING:
    from PIL import Image

FILTER = "lanczos"
ORIENTATION = 0x0112
_CONVERTIBLE = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


class PictureError(Exception):
    """A picture that cannot be stored as asked; the text says why."""


class Stored(Struct, frozen=True):
    """A picture ready to be written.

    Attributes:
        picture: as stored.
        original: size of the source's picture (width, height).
        resized: it was resized.
        changes: what was done to it, in words.
    """

    picture: Picture
    original: tuple[int, int]
    resized: bool
    changes: tuple[str, ...]


def store(data: bytes, flips: Sequence[bool], options: PictureOptions) -> list[Stored]:
    """Makes stored pictures of one file, which is decoded once at most.

    Args:
        data: a whole PNG, JPEG or WebP file.
        flips: for each that is wanted, whether to mirror it left to right.
        options: what it is stored as.

    Raises:
        PictureError: it is cut short, does not decode, or cannot be resized as asked.
    """
    try:
        header = inspect(data)
    except WireError as error:
        raise PictureError(str(error)) from None
    resized = _resizes(header, options)
    passes = not resized and _passes(header, options)
    decoded = None if passes and not any(flips) else _prepared(data, header, options.resolution if resized else None)
    stored = []
    for flip in flips:
        if passes and not flip:
            picture = Picture(header.kind, data, header.width, header.height, header.mode)
            stored.append(Stored(picture, (header.width, header.height), False, ()))
        elif decoded is not None:
            stored.append(_developed(*decoded, header, flip, resized, options))
    return stored


def _prepared(data: bytes, header: PictureHeader, side: int | None) -> tuple[Image.Image, list[str]]:
    """The pixels in RGB, resized where a side is given, and what was done to them."""
    image, changes = _decode(data, header)
    if header.mode != "RGB":
        changes.append(f"converted from {header.mode} to RGB")
    if side is not None:
        changes.append(f"resized from {header.width}x{header.height} to {side}x{side} (Lanczos)")
        image = _resize(image, side)
    return image, changes


def _developed(
    image: Image.Image, changes: list[str], header: PictureHeader, flip: bool, resized: bool, options: PictureOptions
) -> Stored:
    """Prepared pixels, mirrored where asked, as they are stored."""
    kind = header.kind if options.image == "keep" else options.image
    encoded, how = _encode(_flip(image) if flip else image, kind, options.quality)
    done = [*changes, *(["mirrored"] if flip else [])]
    done += [how] if kind != header.kind or how != "re-encoded as PNG" else []
    return Stored(Picture(kind, encoded, *image.size, "RGB"), (header.width, header.height), resized, tuple(done))


def _passes(header: PictureHeader, options: PictureOptions) -> bool:
    """Whether the file is already what is asked for; making an RGB PNG again would gain nothing."""
    return options.image == "keep" or (options.image == header.kind == "png" and header.mode == "RGB")


def _resizes(header: PictureHeader, options: PictureOptions) -> bool:
    side = options.resolution
    if side is None or (header.width, header.height) == (side, side):
        return False
    if header.width != header.height:
        raise PictureError(f"the picture is {header.width}x{header.height}; --resolution needs square ones")
    return True


def _decode(data: bytes, header: PictureHeader) -> tuple[Image.Image, list[str]]:
    """The pixels in RGB, and what of the file does not come with them."""
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
    image = image if image.mode == "RGB" else image.convert("RGB")
    # Else Pillow would write the old profile into the new file.
    image.info = {}
    return image, lost


def _lost(image: Image.Image) -> list[str]:
    lost = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        lost.append(f"first of {frames} frames taken")
    if image.info.get("icc_profile"):
        lost.append("colour profile dropped")
    if image.getexif().get(ORIENTATION, 1) != 1:
        lost.append("EXIF orientation dropped, not applied")
    return lost


def _resize(image: Image.Image, side: int) -> Image.Image:
    from PIL import Image

    return image.resize((side, side), Image.Resampling.LANCZOS)


def _flip(image: Image.Image) -> Image.Image:
    from PIL import Image

    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _encode(image: Image.Image, kind: str, quality: int | None) -> tuple[bytes, str]:
    """The stored bytes and how they were made, in words."""
    if kind == "raw":
        return image.tobytes(), "decoded to raw pixels"
    out = io.BytesIO()
    if kind == "png":
        # Z_RLE packs filtered photos as tightly as the default strategy at level 6, 3.5 times as fast.
        image.save(out, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
        return out.getvalue(), "re-encoded as PNG"
    if kind == "jpeg":
        image.save(out, "JPEG", quality=quality or DEFAULT_JPEG_QUALITY, subsampling=0)
        return out.getvalue(), f"re-encoded as JPEG, quality {quality or DEFAULT_JPEG_QUALITY}, 4:4:4"
    if quality is None:
        # For lossless WebP "quality" is effort: 0 is six times as fast as the default and packs alike.
        image.save(out, "WEBP", lossless=True, quality=0, method=0)
        return out.getvalue(), "re-encoded as lossless WebP"
    image.save(out, "WEBP", quality=quality)
    return out.getvalue(), f"re-encoded as WebP, quality {quality}"
