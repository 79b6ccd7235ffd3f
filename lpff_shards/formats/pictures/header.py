"""PictureHeader: what a picture file says of itself, the same for PNG, JPEG and WebP; and its EXIF orientation.

Sources: TIFF 6.0 (header, image file directory), Exif 2.32 (tag 0x0112), CIPA DC-007 (multi-picture format).
"""

from __future__ import annotations

import re
import struct

from msgspec import Struct

from lpff_shards.formats.errors import FormatError

MAX_PIXELS = 178_956_970
"""Above this Pillow refuses a picture as a decompression bomb."""
MAX_STORED_PIXELS = 1 << 26
"""Most pixels of a picture that is exported: 67 million, beyond cameras of 61 million; as RGB they take 201 MB."""
MAX_WEBP_PIXELS = 1 << 25
"""Most pixels of a source's WebP that is decoded: Pillow takes 20 bytes for each, and 36 bytes may hold them all."""
MAX_SIDES = {"jpeg": 65_500, "webp": 16_383}
"""Most pixels a side of the kinds of file that have such a limit; libjpeg encodes and decodes no larger ones."""


class PictureHeader(Struct, frozen=True):
    """What a picture file says of itself.

    Attributes:
        kind: png, jpeg or webp.
        width, height: pixels.
        mode: color mode, as Pillow names it.
        plain: a PNG that holds only the chunks that its pixels need.
        orientation: 1 to 8, by which readers that apply EXIF turn the picture; 1 if the file has none.
        extras: what else the file holds, worded as what is lost if only the pixels are kept.
    """

    kind: str
    width: int
    height: int
    mode: str
    plain: bool = False
    orientation: int = 1
    extras: tuple[str, ...] = ()


def check_size(width: int, height: int) -> None:
    """Raise FormatError if a picture has no pixels or too many."""
    if not (width and height):
        raise FormatError(f"the picture is {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise FormatError(f"the picture is {width}x{height} pixels; at most {MAX_STORED_PIXELS:,} are taken")


def unstorable(header: PictureHeader, decoded: bool, encoder: str = "") -> str | None:
    """Return why a picture of this size cannot be exported, and what to do, or None.

    Args:
        decoded: it is decoded, and not only copied.
        encoder: the kind of file that it is then encoded as at its own size, empty for another size.
    """
    width, height = header.width, header.height
    size = f"the picture is {width}x{height}"
    if width * height > MAX_STORED_PIXELS:
        return f"{size} pixels; at most {MAX_STORED_PIXELS:,} are taken"
    if decoded and header.kind == "webp" and width * height > MAX_WEBP_PIXELS:
        return f"{size} pixels; at most {MAX_WEBP_PIXELS:,} of a WebP are decoded: convert it to PNG or JPEG"
    most = MAX_SIDES.get(encoder)
    if decoded and most is not None and max(width, height) > most:
        return f"{size}, and {encoder.upper()} takes at most {most:,} pixels a side: --image png takes more"
    return None


def extras(
    *, frames: int = 1, profile: bool = False, orientation: int = 1, transparency: bool = False, metadata: bool = False
) -> tuple[str, ...]:
    """What a file holds beside its pixels, in words.

    Args:
        frames: of an animation, or pictures of a multi-picture file.
        profile: it has an ICC profile.
        orientation: 1 to 8.
        transparency: of its pixels, where the color mode does not tell.
        metadata: it has EXIF, XMP, text or other data.
    """
    found = [f"first of {frames} frames taken"] if frames > 1 else []
    # The field `changes` has been spelled so in every shard.
    found += ["colour profile dropped"] if profile else []
    found += ["EXIF orientation dropped, not applied"] if orientation != 1 else []
    found += ["transparency dropped"] if transparency else []
    found += ["metadata dropped"] if metadata else []
    return tuple(found)


_ORIENTATION = 0x0112
_IMAGES = 0xB001
_TYPES = {1: "B", 3: "H", 4: "I"}
"""Struct formats of TIFF's unsigned integers, by the number of the type."""
_PREFIX = b"Exif\0\0"
_XMP = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\b")


def from_exif(exif: bytes) -> int:
    """The orientation in EXIF data, with or without `Exif` in front: 1 to 8, or 0 if it has none that can be read."""
    found = _first_directory(exif.removeprefix(_PREFIX), _ORIENTATION)
    return found if 1 <= found <= 8 else 0


def from_xmp(xmp: bytes) -> int:
    """The orientation in an XMP packet, which Pillow uses if EXIF has none: 1 to 8, or 0."""
    found = _XMP.search(xmp)
    return int(found[1]) if found else 0


def pictures_in(index: bytes) -> int:
    """How many pictures the index of a multi-picture JPEG tells; at least 1."""
    return max(1, _first_directory(index, _IMAGES))


def _first_directory(tiff: bytes, tag: int) -> int:
    """One unsigned integer of a TIFF's first directory, or 0 if it is missing or cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 0
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            found, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if found == tag:
                number: int = struct.unpack_from(order + _TYPES[kind], tiff, entry + 8)[0]
                return number
    except (struct.error, KeyError):
        pass
    return 0
