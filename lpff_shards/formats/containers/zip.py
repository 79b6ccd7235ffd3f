"""Zip archives of stored members with fixed headers: mode 0644, 1980-01-01, Zip64 fields for large numbers.

Functions that read raise FormatError where the bytes break the format.
Source: PKWARE's APPNOTE.TXT 6.3 (local headers, central directory, Zip64).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from isal.isal_zlib import crc32
from msgspec import Struct

from lpff_shards.formats.errors import FormatError

FULL = 0xFFFFFFFF
"""A 32-bit field with this value refers to the Zip64 field."""
MANY = 0xFFFF

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s2B5H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_PLAIN, _ZIP64 = 20, 45
_UNIX = 3
_DATE = 1 << 5 | 1
_MODE = 0o100644 << 16


def local_header(name: str, crc: int, size: int) -> bytes:
    """Return the header before a member's bytes: their CRC-32 and number; the name is ASCII."""
    raw = name.encode("ascii")
    extra = struct.pack("<2H2Q", 1, 16, size, size) if size >= FULL else b""
    shown, version = min(size, FULL), _ZIP64 if extra else _PLAIN
    return _LOCAL.pack(b"PK\3\4", version, 0, 0, 0, _DATE, crc, shown, shown, len(raw), len(extra)) + raw + extra


def entry(name: str, crc: int, size: int, at: int) -> bytes:
    """Return a member's entry in the central directory, with the offset of its local header."""
    raw = name.encode("ascii")
    large = [number for number in (size, size, at) if number >= FULL]
    extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    shown, version = min(size, FULL), _ZIP64 if extra else _PLAIN
    lengths = (len(raw), len(extra), 0, 0, 0)
    numbers = (crc, shown, shown, *lengths, _MODE, min(at, FULL))
    return _CENTRAL.pack(b"PK\1\2", version, _UNIX, version, 0, 0, 0, _DATE, *numbers) + raw + extra


def end(count: int, size: int, at: int) -> bytes:
    """Return the records after the central directory: number of members, and its size and offset in bytes."""
    far = b""
    if count >= MANY or size >= FULL or at >= FULL:
        far = _END64.pack(b"PK\6\6", _END64.size - 12, _UNIX << 8 | _ZIP64, _ZIP64, 0, 0, count, count, size, at)
        far += _LOCATOR.pack(b"PK\6\7", 0, at + size, 1)
    many = min(count, MANY)
    return far + _END.pack(b"PK\5\6", 0, 0, many, many, min(size, FULL), min(at, FULL), 0)


class ZipMember(Struct, frozen=True):
    """A member of an archive: name, offset of its local header, offset, number and CRC-32 of its bytes."""

    name: str
    header: int
    offset: int
    size: int
    crc: int

    @property
    def end(self) -> int:
        """Offset of the next header."""
        return self.offset + self.size

    def read(self, archive: memoryview) -> memoryview:
        """Return the member's bytes; its local header and its CRC-32 must be those of the directory."""
        if bytes(archive[self.header : self.offset]) != local_header(self.name, self.crc, self.size):
            raise FormatError(f"the local header of {self.name} is damaged", self.header)
        data = archive[self.offset : self.end]
        if crc32(data) != self.crc:
            raise FormatError(f"{self.name} does not match its CRC", self.offset)
        return data


def members(archive: memoryview) -> Iterator[ZipMember]:
    """Yield the members of an archive that the functions above wrote, one directly after the other."""
    tail = bytes(archive[-(_END64.size + _LOCATOR.size + _END.size) :])
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\5\6":
        raise FormatError("the archive is cut short: no end of central directory")
    *_, count, size, at, _ = _END.unpack(tail[-_END.size :])
    if tail[:4] == b"PK\6\6" and len(tail) == _END64.size + _LOCATOR.size + _END.size:
        *_, count, size, at = _END64.unpack(tail[: _END64.size])
    expected, stop, directory = end(count, size, at), at + size, at
    if stop + len(expected) != len(archive) or bytes(archive[stop:]) != expected:
        raise FormatError("the end of the central directory is damaged", max(0, len(archive) - len(tail)))
    due = found = 0
    while at < stop:
        try:
            fields = _CENTRAL.unpack_from(archive, at)
            crc, size, length = fields[8], fields[10], fields[11]
            start = at + _CENTRAL.size
            name = bytes(archive[start : start + length]).decode("ascii")
            if size == FULL:
                (size,) = struct.unpack_from("<Q", archive, start + length + 4)
        except (struct.error, UnicodeDecodeError):
            raise FormatError("the central directory is damaged", at) from None
        own = entry(name, crc, size, due)
        if bytes(archive[at : at + len(own)]) != own:
            raise FormatError(f"the entry of {name!r} in the central directory is damaged", at)
        member = ZipMember(name, due, due + len(local_header(name, crc, size)), size, crc)
        at, due, found = at + len(own), member.end, found + 1
        yield member
    if (at, found, due) != (stop, count, directory):
        raise FormatError("the central directory is damaged", at)
