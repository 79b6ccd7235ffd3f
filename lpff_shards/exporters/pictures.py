"""From a source's picture file to the stored picture: passed through, or decoded, flipped, resized and encoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from lpff_shards.exporters.encoding import encode
from lpff_shards.options import PictureOptions
from lpff_shards.schemas.sample import Picture
from lpff_shards.wire.decoding import PictureError, Pixels, decode
from lpff_shards.wire.errors import WireError
from lpff_shards.wire.picture_header import PictureHeader
from lpff_shards.wire.pictures import inspect
from lpff_shards.wire.png_chunks import stripped

FILTER = "lanczos"
_FILE_KINDS = {"stored-png": "png"}
"""What a file is, where what was asked for says more than that."""


class Stored(Struct, frozen=True):
    """A picture ready to be written.

    Attributes:
        picture: as stored.
        original: size of the source's picture (width, height).
        resized: it was resized.
        changes: what was done to it, in words.
        orientation: of EXIF, in the stored file; 1 if it has none.
    """

    picture: Picture
    original: tuple[int, int]
    resized: bool
    changes: tuple[str, ...]
    orientation: int = 1


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
            stored.append(_passed(data, header, options))
        elif decoded is not None:
            stored.append(_developed(*decoded, header, flip, resized, options))
    return stored


def _passed(data: bytes, header: PictureHeader, options: PictureOptions) -> Stored:
    """The file as it is, or, where RGB PNGs are asked for, what its pixels need of it."""
    kept = options.kind == "keep" or header.plain
    file = data if kept else stripped(data, header.mode)
    picture = Picture(header.kind, file, header.width, header.height, header.mode)
    changes, orientation = ((), header.orientation) if kept else (header.extras, 1)
    return Stored(picture, (header.width, header.height), False, changes, orientation)


def _prepared(data: bytes, header: PictureHeader, side: int | None) -> tuple[Pixels, list[str]]:
    """The pixels, resized where a side is given, and what was done to them."""
    pixels, changes = decode(data, header), [*header.extras]
    if header.mode != "RGB":
        changes.append(f"converted from {header.mode} to RGB")
    if side is not None:
        changes.append(f"resized from {header.width}x{header.height} to {side}x{side} (Lanczos)")
        pixels = _resize(pixels, side)
    return pixels, changes


def _developed(
    pixels: Pixels, changes: list[str], header: PictureHeader, flip: bool, resized: bool, options: PictureOptions
) -> Stored:
    """Prepared pixels, mirrored where asked, as they are stored."""
    kind = header.kind if options.kind == "keep" else options.kind
    shown = np.ascontiguousarray(pixels[:, ::-1]) if flip else pixels
    encoded, how = encode(shown, kind, options.quality)
    done = [*changes, *(["mirrored"] if flip else [])]
    done += [how] if kind != header.kind or how != "re-encoded as PNG" else []
    height, width, _ = pixels.shape
    picture = Picture(_FILE_KINDS.get(kind, kind), encoded, width, height, "RGB")
    return Stored(picture, (header.width, header.height), resized, tuple(done))


def _passes(header: PictureHeader, options: PictureOptions) -> bool:
    """Whether its pixels are already as asked for; making an RGB PNG again would gain nothing."""
    return options.kind == "keep" or (options.kind == header.kind == "png" and header.mode == "RGB")


def _resizes(header: PictureHeader, options: PictureOptions) -> bool:
    side = options.resolution
    if side is None or (header.width, header.height) == (side, side):
        return False
    if header.width != header.height:
        raise PictureError(f"the picture is {header.width}x{header.height}; --resolution needs square ones")
    return True


def _resize(pixels: Pixels, side: int) -> Pixels:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))
