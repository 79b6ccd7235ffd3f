"""TFRecord frames: length, masked CRC-32C of the length, data, masked CRC-32C of the data; little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import google_crc32c

from lpff_shards.formats.errors import FormatError

FRAMING = 16
_MASK_DELTA = 0xA282EAD8
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


def masked(crc: int) -> int:
    """Return TFRecord's masked CRC-32C: rotated right by 15 bits, plus a constant."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def frame(parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the bytes before and after a record's data: 12 bytes and 4 bytes.

    Args:
        parts: the data in pieces, so that a large picture is not copied.
    """
    length = _LENGTH.pack(sum(map(len, parts)))
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    return length + _CRC.pack(masked(google_crc32c.value(length))), _CRC.pack(masked(crc))


def records(file: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the offset and data of each record of a file.

    Raises:
        FormatError: at the first record whose length or data does not match its checksum, or that is cut short.
    """
    at = 0
    while at < len(file):
        head = bytes(file[at : at + 12])
        if len(head) < 12:
            raise FormatError("the file is cut short inside a record's length", at)
        if masked(google_crc32c.value(head[:8])) != _CRC.unpack(head[8:])[0]:
            raise FormatError("a record's length does not match its CRC", at)
        (length,) = _LENGTH.unpack(head[:8])
        data = file[at + 12 : at + 12 + length]
        tail = bytes(file[at + 12 + length : at + FRAMING + length])
        if len(tail) < 4:
            raise FormatError("the file is cut short inside a record", at)
        if masked(google_crc32c.value(bytes(data))) != _CRC.unpack(tail)[0]:
            raise FormatError("a record's data does not match its CRC", at)
        yield at, data
        at += FRAMING + length
