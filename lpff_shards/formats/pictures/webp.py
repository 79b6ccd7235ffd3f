"""WebP files: size, color mode and metadata. Source: RFC 9649."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import header
from lpff_shards.formats.pictures.header import PictureHeader, check_size, extras

_CHUNKS = 12
"""Offset of the first chunk."""
_MAX_CHUNKS = 1 << 16
_PIXELS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})


def inspect(data: bytes) -> PictureHeader:
    """Return the properties of a WebP."""
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise FormatError(f"the WebP is cut short: {len(data)} bytes, {length + 8} are needed")
    found = glance(data)
    if data[_CHUNKS : _CHUNKS + 4] != b"VP8X":
        return found
    chunks = list(_chunks(data, length + 8))
    kinds, first = [kind for kind, _ in chunks], dict(reversed(chunks))
    exif = header.from_exif(first.get(b"EXIF", b""))
    turned = exif or header.from_xmp(first.get(b"XMP ", b"")) or 1
    explained = _PIXELS | {b"ICCP"} | ({b"EXIF"} if exif > 1 else set())
    lost = extras(
        frames=kinds.count(b"ANMF"),
        profile=b"ICCP" in kinds,
        orientation=turned,
        metadata=not explained.issuperset(kinds),
    )
    return PictureHeader("webp", found.width, found.height, found.mode, False, turned, lost)


def glance(data: bytes) -> PictureHeader:
    """Return the properties of a WebP from its first chunk; EXIF data are at its end."""
    kind = data[_CHUNKS : _CHUNKS + 4]
    if kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        alpha = False
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    elif kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        alpha = bool(data[20] & 0x10)
    else:
        raise FormatError(f"the WebP starts with an unknown chunk {kind!r}")
    check_size(width, height)
    return PictureHeader("webp", width, height, "RGBA" if alpha else "RGB")


def _chunks(data: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and body of each chunk; the body of chunks of pixels is empty."""
    at = _CHUNKS
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, b"" if kind in _PIXELS else data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    raise FormatError(f"the WebP has more than {_MAX_CHUNKS:,} chunks")
