"""The orientation tag in a picture's metadata, and other numbers of a TIFF directory. Nothing here raises.

Sources: TIFF 6.0 (header, image file directory), Exif 2.32 (tag 0x0112), CIPA DC-007 (multi-picture format).
"""

from __future__ import annotations

import re
import struct

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
