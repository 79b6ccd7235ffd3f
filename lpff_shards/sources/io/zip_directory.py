"""The directory of a zip in columns: zipfile makes an object of each member, for a million in 5 s and 600 MB.

Source: PKWARE's APPNOTE.TXT 6.3. As zipfile does, bytes in front of the archive are allowed for, and a name ends at a
zero byte. Names without the UTF-8 flag are read as UTF-8 where they are valid UTF-8, as macOS packs them, else as code
page 437.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.columns.texts import Texts, ragged

ReadAt = Callable[[int, int], bytes]
"""The bytes at an offset, as many as asked for, fewer at the end of the file."""

STORED, DEFLATED = 0, 8
ENCRYPTED = 1
_UTF8 = 0x800
_FULL = 0xFFFFFFFF
_NEWEST = 63
_FARTHEST = 1 << 62
_LONGEST_COMMENT = 0x10000
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LENGTHS = struct.Struct("<3H")
_ENTRY = np.dtype(
    [
        *(("magic", "S4"), ("made", "<u2"), ("version", "u1"), ("system", "u1"), ("flags", "<u2"), ("method", "<u2")),
        *(("time", "<u4"), ("crc", "<u4"), ("packed", "<u4"), ("size", "<u4")),
        *(("name", "<u2"), ("extra", "<u2"), ("comment", "<u2"), ("disk", "<u2")),
        *(("internal", "<u2"), ("external", "<u4"), ("header", "<u4")),
    ]
)
_LENGTHS_AT = 28


class ZipError(ValueError):
    """An archive whose directory cannot be read; the text says why."""


@dataclass(frozen=True, eq=False)
class Directory:
    """The members of an archive, columns of length n.

    Attributes:
        names: as packed, of folders with a slash at their end.
        flags, method: uint16 [n]; crc: int64 [n].
        size, packed, header: int64 [n], bytes unpacked and packed, and where the local header starts.
    """

    names: Texts
    flags: NDArray[np.uint16]
    method: NDArray[np.uint16]
    crc: NDArray[np.int64]
    size: NDArray[np.int64]
    packed: NDArray[np.int64]
    header: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the directory is, and how many bytes stand in front of the archive."""

    at: int
    size: int
    before: int


def read_directory(read: ReadAt, size: int) -> Directory | None:
    """The directory of an archive; None where the file ends as no zip does.

    Args:
        size: of the file in bytes.

    Raises:
        ZipError: it is damaged, or a zip that zipfile does not read either.
    """
    place = _find(read, size)
    if place is None:
        return None
    if min(place.at, place.before) < 0:
        raise ZipError("Bad offset for central directory")
    data = read(place.at, place.size)
    places = _places(data)
    entries = _entries(data, places)
    if len(entries) and (newest := int(entries["version"].max())) > _NEWEST:
        raise ZipError(f"zip file version {newest / 10:.1f}")
    numbers = {name: entries[name].astype(np.int64) for name in ("crc", "size", "packed", "header")}
    _read_zip64(data, places, entries, numbers)
    if any((column < 0).any() or (column > _FARTHEST).any() for column in numbers.values()):
        raise ZipError("a member's size or place is beyond what archives have")
    numbers["header"] += place.before
    return Directory(_names(data, places, entries), entries["flags"], entries["method"], **numbers)


def _find(read: ReadAt, file_size: int) -> _Place | None:
    """The directory, by the record that ends the file, behind which only a comment may stand."""
    tail_at = max(0, file_size - _END.size - _LONGEST_COMMENT)
    tail = read(tail_at, file_size - tail_at)
    found = len(tail) - _END.size
    if found < 0:
        return None
    if tail[found : found + 4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < _END.size:
            return None
    size, at = _END.unpack_from(tail, found)[5:7]
    end = tail_at + found
    far = _find64(read, end)
    if far is not None:
        size, at, end = far
    before = end - size - at
    return _Place(at + before, size, before)


def _find64(read: ReadAt, end: int) -> tuple[int, int, int] | None:
    """Size and place of a Zip64 archive's directory, and where its end record starts; None where it is none."""
    start = end - _LOCATOR.size - _END64.size
    data = read(start, end - start) if start >= 0 else b""
    if data[_END64.size :][:4] != b"PK\6\7":
        return None
    _, disk, _, disks = _LOCATOR.unpack_from(data, _END64.size)
    if disk or disks > 1:
        raise ZipError("zipfiles that span multiple disks are not supported")
    if data[:4] != b"PK\6\6":
        return None
    size, at = _END64.unpack_from(data)[8:10]
    return size, at, start


def _places(data: bytes) -> NDArray[np.int64]:
    """Where each entry starts: each tells how long it is."""
    places = array("q")
    lengths, at, end = _LENGTHS.unpack_from, 0, len(data)
    fixed, add = _ENTRY.itemsize, places.append
    try:
        while at < end:
            add(at)
            name, extra, comment = lengths(data, at + _LENGTHS_AT)
            at += fixed + name + extra + comment
    except struct.error:
        raise ZipError("Truncated central directory") from None
    if at != end:
        raise ZipError("Truncated central directory")
    return np.frombuffer(places, np.int64)


def _entries(data: bytes, places: NDArray[np.int64]) -> NDArray[np.void]:
    """The fixed part of each entry."""
    lengths = np.full(len(places), _ENTRY.itemsize)
    entries = np.frombuffer(ragged(np.frombuffer(data, np.uint8), places, lengths), _ENTRY)
    if (entries["magic"] != b"PK\1\2").any():
        raise ZipError("Bad magic number for central directory")
    return entries


def _names(data: bytes, places: NDArray[np.int64], entries: NDArray[np.void]) -> Texts:
    lengths = entries["name"].astype(np.int64)
    block = ragged(np.frombuffer(data, np.uint8), places + _ENTRY.itemsize, lengths)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    if block.isascii() and b"\0" not in block:
        return Texts(block, ends)
    return Texts.of(_decoded(block, ends.tolist(), (entries["flags"] & _UTF8).tolist()))


def _decoded(block: bytes, ends: list[int], utf8: list[int]) -> Iterator[str]:
    for start, end, is_utf8 in zip(ends, ends[1:], utf8, strict=False):
        name = block[start:end]
        try:
            text = name.decode()
        except UnicodeDecodeError as error:
            if is_utf8:
                raise ZipError(str(error)) from None
            text = name.decode("cp437")
        yield text.partition("\0")[0]


def _read_zip64(
    data: bytes, places: NDArray[np.int64], entries: NDArray[np.void], numbers: dict[str, NDArray[np.int64]]
) -> None:
    """Puts the numbers that 32 bits do not hold where entries have them: in a field of their own."""
    full = {name: numbers[name] == _FULL for name in ("size", "packed", "header")}
    for row in np.flatnonzero(full["size"] | full["packed"] | full["header"]).tolist():
        start = int(places[row]) + _ENTRY.itemsize + int(entries["name"][row])
        values = _zip64_field(data[start : start + int(entries["extra"][row])])
        for name in ("size", "packed", "header"):
            if full[name][row]:
                try:
                    (numbers[name][row],) = struct.unpack_from("<q", values)
                except struct.error:
                    raise ZipError(f"Corrupt zip64 extra field: {name} not found") from None
                values = values[8:]


def _zip64_field(extra: bytes) -> bytes:
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<2H", extra)
        if tag == 1:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return b""
