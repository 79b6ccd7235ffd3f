"""PictureHeader: the properties of a PNG, JPEG or WebP file; its EXIF orientation; and its decoding by Pillow.

Sources: TIFF 6.0 (header, image file directory), Exif 2.32 (tag 0x0112), CIPA DC-007 (multi-picture format).
"""

from __future__ import annotations

import io
import re
import struct
import warnings

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError

MAX_PIXELS = 178_956_970
"""Pillow refuses a picture with more pixels as a decompression bomb."""
MAX_STORED_PIXELS = 1 << 26
"""Most pixels of an exported picture: 67 million, more than cameras of 61 million; as RGB they take 201 MB."""
MAX_WEBP_PIXELS = 1 << 25
"""Most pixels of a decoded WebP: Pillow takes 20 bytes for each, and a file of 36 bytes may hold them all."""
MAX_SIDES = {"jpeg": 65_500, "webp": 16_383}
"""Most pixels per side, by kind of file; libjpeg neither encodes nor decodes larger pictures."""

_ORIENTATION, _IMAGES = 0x0112, 0xB001
_TYPES = {1: "B", 3: "H", 4: "I"}
"""Struct formats of TIFF's unsigned integers, by type number."""
_XMP = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\b")


class PictureHeader(Struct, frozen=True):
    """The properties of a picture file.

    Attributes:
        kind: png, jpeg or webp.
        width, height: pixels.
        mode: color mode with Pillow's name.
        plain: whether it is a PNG of only the chunks that its pixels need.
        orientation: 1 to 8, from EXIF or XMP; 1 if the file has none.
        extras: other contents of the file, as phrases about what is lost if only the pixels are kept.
    """

    kind: str
    width: int
    height: int
    mode: str
    plain: bool = False
    orientation: int = 1
    extras: tuple[str, ...] = ()


def check_size(width: int, height: int) -> None:
    """Raise FormatError if a picture has no pixels or too many of them."""
    if not (width and height):
        raise FormatError(f"the picture is {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise FormatError(f"the picture is {width}x{height} pixels; the limit is {MAX_STORED_PIXELS:,}")


def unstorable(header: PictureHeader, decoded: bool, encoder: str = "") -> str | None:
    """Return why a picture of this size cannot be exported and what to do, or None.

    Args:
        decoded: whether it is decoded, not only copied.
        encoder: kind of file that it is re-encoded as at its own size, empty for another size.
    """
    width, height = header.width, header.height
    size = f"the picture is {width}x{height}"
    if width * height > MAX_STORED_PIXELS:
        return f"{size} pixels; the limit is {MAX_STORED_PIXELS:,}"
    if decoded and header.kind == "webp" and width * height > MAX_WEBP_PIXELS:
        return f"{size} pixels; the limit for WebP is {MAX_WEBP_PIXELS:,}: convert it to PNG or JPEG"
    most = MAX_SIDES.get(encoder)
    if decoded and most is not None and max(width, height) > most:
        return f"{size}, and {encoder.upper()} allows at most {most:,} pixels per side: use --image png"
    return None


def extras(
    *, frames: int = 1, profile: bool = False, orientation: int = 1, transparency: bool = False, metadata: bool = False
) -> tuple[str, ...]:
    """Return phrases about the contents of a file that its pixels do not need.

    Args:
        frames: frames of an animation, or pictures of a multi-picture file.
        transparency: whether its pixels have transparency that the color mode does not show.
        metadata: whether it has EXIF, XMP, text or other data.
    """
    # All existing shards have this spelling in their field `changes`.
    phrases = {
        f"first of {frames} frames taken": frames > 1,
        "colour profile dropped": profile,
        "EXIF orientation dropped, not applied": orientation != 1,
        "transparency dropped": transparency,
        "metadata dropped": metadata,
    }
    return tuple(phrase for phrase, there in phrases.items() if there)


def from_exif(exif: bytes) -> int:
    """Return the orientation in EXIF data, with or without the `Exif` prefix: 1 to 8, or 0 if it has none."""
    found = _first_directory(exif.removeprefix(b"Exif\0\0"), _ORIENTATION)
    return found if 1 <= found <= 8 else 0


def from_xmp(xmp: bytes) -> int:
    """Return the orientation in an XMP packet, which Pillow uses if EXIF has none: 1 to 8, or 0."""
    found = _XMP.search(xmp)
    return int(found[1]) if found else 0


def pictures_in(index: bytes) -> int:
    """Return the number of pictures in the index of a multi-picture JPEG, at least 1."""
    return max(1, _first_directory(index, _IMAGES))


def _first_directory(tiff: bytes, tag: int) -> int:
    """Return an unsigned integer of a TIFF's first directory, or 0 if it is missing or unreadable."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 0
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            found, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if found == tag:
                return int(struct.unpack_from(order + _TYPES[kind], tiff, entry + 8)[0])
    except (struct.error, KeyError):
        pass
    return 0


def decode_by_pillow(data: bytes, kind: str) -> NDArray[np.uint8]:
    """Return the pixels of a png, jpeg or webp file, uint8 [height, width, 3], RGB; raise Pillow's errors."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns of large pictures; their size is checked already.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            if image.mode.startswith("I"):
                # libspng keeps the high byte of 16-bit gray; Pillow does the same only for 16-bit color.
                return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(image.convert("RGB"))
