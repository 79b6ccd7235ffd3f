"""Chunks of PNG files: properties of a file, a check that it is whole, and the file without unneeded chunks.

Source: PNG third edition (chunks, their order, IHDR).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from isal.isal_zlib import crc32

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import header
from lpff_shards.formats.pictures.header import PictureHeader, check_size, extras

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MODES = {
    **{(0, 1): "1", (0, 2): "L", (0, 4): "L", (0, 8): "L", (0, 16): "I;16"},
    **{(2, 8): "RGB", (2, 16): "RGB;16", (3, 1): "P", (3, 2): "P", (3, 4): "P", (3, 8): "P"},
    **{(4, 8): "LA", (4, 16): "LA;16", (6, 8): "RGBA", (6, 16): "RGBA;16"},
}
_CHUNK = struct.Struct(">I4s")
_SECOND = 33
"""Offset of the second chunk."""
_CRC = struct.Struct(">I")
_HEADER = struct.Struct(">II5B")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced picture: column and row of the first pixel, and the steps to the next."""
_PIXELS = frozenset({b"IHDR", b"IDAT", b"IEND"})
_NEEDED = {"P": _PIXELS | {b"PLTE"}}
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_XMP = b"XML:com.adobe.xmp\0\0\0"
_ANCILLARY = 0x20
"""The bit in a chunk's first letter that allows decoders to ignore it."""

_CHUNKS, _CHUNK_BYTES = 1 << 14, 1 << 9
"""Limit of chunks in a file, and bytes that allow one more: writers put thousands of bytes into each."""

_Places = dict[bytes, int]
"""Offset of the first chunk of each kind."""


def inspect_png(data: bytes) -> PictureHeader:
    """Return the properties of a PNG; check that every chunk is whole and matches its CRC-32.

    Raises:
        FormatError: it is cut short or damaged, lacks what its pixels need, or has no pixels or too many.
    """
    width, height, mode = _header(data)
    places, end = _check_chunks(data)
    if mode == "P" and not places.get(b"PLTE", len(data)) < places[b"IDAT"]:
        raise FormatError("the PNG has no palette before its pixels")
    if end == len(data) and places.keys() <= _NEEDED.get(mode, _PIXELS):
        return PictureHeader("png", width, height, mode, True)
    turned = _orientation(data, places)
    return PictureHeader("png", width, height, mode, False, turned, _extras(data, places, end, turned))


def glance_png(data: bytes) -> PictureHeader:
    """Return the properties of a PNG from its first bytes; orientation only from EXIF data before the pixels."""
    if data[_SECOND + 4 : _SECOND + 8] == b"IDAT":
        return _plain(data[:_SECOND])
    width, height, mode = _header(data)
    turned, at = 1, len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        if kind == b"eXIf":
            turned = header.from_exif(data[at + 8 : at + 8 + length]) or 1
        at = len(data) if kind == b"IDAT" else at + 12 + length
    return PictureHeader("png", width, height, mode, False, turned)


@lru_cache
def _plain(start: bytes) -> PictureHeader:
    """Return the properties in IHDR; cached, since the pictures of a set mostly share it."""
    return PictureHeader("png", *_header(start))


def _header(data: bytes) -> tuple[int, int, str]:
    """Return the width, height and mode from IHDR."""
    length, kind = _CHUNK.unpack_from(data, 8)
    if (length, kind) != (_HEADER.size, b"IHDR"):
        raise FormatError("the PNG does not start with IHDR")
    width, height, depth, color, *methods = _HEADER.unpack_from(data, 16)
    mode = _MODES.get((color, depth))
    if mode is None:
        raise FormatError(f"the PNG has color type {color} of {depth} bits, which PNG does not define")
    if methods not in ([0, 0, 0], [0, 0, 1]):
        raise FormatError("the PNG has an unknown compression, filter or interlace method")
    check_size(width, height)
    return width, height, mode


def stripped(data: bytes, mode: str) -> bytes:
    """Return the PNG without unneeded chunks and without bytes after its end.

    Args:
        data: a PNG that `inspect_png` accepts.
        mode: color mode from `inspect_png`.
    """
    needed = _NEEDED.get(mode, _PIXELS)
    return SIGNATURE + b"".join(data[start:end] for kind, start, end in chunks(data) if kind in needed)


def rows_size(data: bytes) -> int:
    """Return the bytes of a PNG's rows, each with the number of its filter."""
    width, height, depth, color, _, _, interlaced = _HEADER.unpack_from(data, 16)
    bits, size = depth * _CHANNELS[color], 0
    for left, top, across, down in _ADAM7 if interlaced else _WHOLE:
        columns, rows = -((left - width) // across), -((top - height) // down)
        size += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return size


def is_interlaced(data: bytes) -> bool:
    """Return whether a PNG's rows are in passes."""
    return bool(_HEADER.unpack_from(data, 16)[-1])


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, start and end of each chunk of a whole PNG."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = _CHUNK.unpack_from(data, at)
        yield kind, at, at + 12 + length
        at += 12 + length


def _check_chunks(data: bytes) -> tuple[_Places, int]:
    """Return the offsets of the chunks and the end of the last one."""
    view = memoryview(data)
    at, places, last = len(SIGNATURE), _Places(), b""
    for _ in range(_CHUNKS + len(data) // _CHUNK_BYTES):
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 12 + length
        if end > len(data):
            raise FormatError(f"the PNG is cut short: {len(data)} bytes, {end} are needed")
        if crc32(view[at + 4 : end - 4]) != _CRC.unpack_from(data, end - 4)[0]:
            raise FormatError(f"the PNG is damaged: chunk {kind.decode('latin-1')} does not match its CRC", at)
        if kind != last:
            _check_place(kind, places)
            places.setdefault(kind, at)
        if kind == b"IEND":
            break
        at, last = end, kind
    else:
        raise FormatError("the PNG has far more chunks than pixels need")
    if b"IDAT" not in places:
        raise FormatError("the PNG has no pixels")
    return places, end


def _check_place(kind: bytes, places: _Places) -> None:
    """Refuse unknown critical chunks and a second run of critical chunks, as decoders do."""
    if kind[0] & _ANCILLARY:
        return
    name = kind.decode("latin-1")
    if kind not in _PIXELS and kind != b"PLTE":
        raise FormatError(f"the PNG has an unknown critical chunk {name}")
    if kind in places:
        raise FormatError(f"the PNG has chunks {name} in two places")


def _body(data: bytes, at: int) -> bytes:
    return data[at + 8 : at + 8 + _CRC.unpack_from(data, at)[0]]


def _orientation(data: bytes, places: _Places) -> int:
    exif, text = (_body(data, places[kind]) if kind in places else b"" for kind in (b"eXIf", b"iTXt"))
    return header.from_exif(exif) or (header.from_xmp(text) if text.startswith(_XMP) else 0) or 1


def _extras(data: bytes, places: _Places, end: int, turned: int) -> tuple[str, ...]:
    animation = _body(data, places[b"acTL"]) if b"acTL" in places else b""
    named = _PIXELS | _ANIMATION | {b"PLTE", b"iCCP", b"tRNS"}
    return extras(
        frames=int.from_bytes(animation[:4], "big"),
        profile=b"iCCP" in places,
        orientation=turned,
        transparency=b"tRNS" in places,
        metadata=end != len(data) or bool(places.keys() - named - ({b"eXIf"} if turned != 1 else set())),
    )
