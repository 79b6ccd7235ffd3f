"""The folders of an archive, listed once, in columns; the members of a zip on disk or in a bucket."""

from __future__ import annotations

import errno
import os
import struct
import zipfile
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import attrgetter, eq
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.columns import Repeated, Structs, Texts
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import ZipBlob, read_range
from lpff_shards.sources.io.files import Files
from lpff_shards.storage.path import is_remote, place, read_at

ReadAt = Callable[[int, int], bytes]
"""Reads bytes from an offset: the requested number, fewer at the end of the file."""

_ENCRYPTED, _UTF8 = 1, 0x800
_NUMBERS = ("file_size", "compress_size", "header_offset")
_FARTHEST = 1 << 62
_BEYOND = "a member's size or offset is out of range"
_RECORD = 22
"""Bytes of the end record of an archive, without its comment."""
_MANY = 0xFFFF
"""Largest count of members in the end record; for more it has this number, or a remainder."""
_DEEPEST = 64
"""Most parts of a listed name; no layout reaches a tenth of it."""


class ZipError(ValueError):
    """The directory of an archive cannot be read; the text is the reason."""


class Members(Protocol):
    """The members of an archive of some kind."""

    KIND: ClassVar[str]
    """For errors: the zip, or the RAR."""

    @property
    def names(self) -> Texts:
        """Return their names as packed; those of folders end with a slash."""

    def blobs(self, archive: str, rows: NDArray[np.int64]) -> Structs[Blob]:
        """Return the blobs of some members, by rows (int64)."""


@dataclass(frozen=True, eq=False)
class Directory:
    """The members of a zip, columns of length n.

    Attributes:
        names: as packed; those of folders end with a slash.
        flags, method, crc: int64 [n].
        size, packed, header: int64 [n], bytes unpacked and packed, and offset of the local header.
    """

    KIND: ClassVar[str] = "the zip"

    names: Texts
    flags: NDArray[np.int64]
    method: NDArray[np.int64]
    crc: NDArray[np.int64]
    size: NDArray[np.int64]
    packed: NDArray[np.int64]
    header: NDArray[np.int64]

    def blobs(self, archive: str, rows: NDArray[np.int64]) -> Structs[Blob]:
        """Return the blobs of some members, by rows (int64)."""
        numbers = (column[rows] for column in (self.size, self.header, self.packed, self.crc))
        method = Repeated((self.method[rows] == zipfile.ZIP_DEFLATED).astype(np.int32), ["stored", "deflated"])
        place = Repeated(np.zeros(len(rows), np.int32), [archive])
        return Structs(ZipBlob, [place, self.names.take(rows), *numbers, method])


@dataclass(frozen=True, repr=False)
class ZipTree:
    """A folder inside an archive, whose listing is read once.

    Attributes:
        subfolders, rows: names of the folders, and rows in `directory` of the files, by folder.
    """

    archive: str
    inside: str
    directory: Members
    subfolders: Mapping[str, Sequence[str]]
    rows: Mapping[str, array[int]]

    @property
    def where(self) -> str:
        return f"{self.archive}:{self.inside}" if self.inside else self.archive

    def folders(self) -> list[str]:
        return sorted(self.subfolders[self.inside])

    def files(self) -> Files:
        return self._files

    @cached_property
    def _files(self) -> Files:
        rows, members = np.asarray(self.rows[self.inside]), self.directory
        names = [name.rpartition("/")[2] for name in members.names.take(rows)]
        order = sorted(range(len(names)), key=names.__getitem__)
        names = [names[at] for at in order]
        for duplicate in (name for name, same in zip(names, map(eq, names, names[1:]), strict=False) if same):
            where = f"{self.inside}/{duplicate}" if self.inside else duplicate
            message = f"{self.archive}:{where} is in {members.KIND} twice"
            raise ShardsError(message, f"Pack {members.KIND} again with unique names")
        return Files(Texts.of(names), members.blobs(self.archive, rows[np.array(order, np.int64)]))

    def sub(self, name: str) -> ZipTree | None:
        inside = f"{self.inside}/{name}" if self.inside else name
        return replace(self, inside=inside) if inside in self.rows else None


def zip_tree(option: str, given: str) -> ZipTree | None:
    """Return the tree of a zip, or None if the file is not a zip.

    Raises:
        ShardsError: it is damaged, or has a member that cannot be read in place.
    """
    path = place(given)
    try:
        if is_remote(path):
            directory = read_directory(partial(read_range, path), path.size())
        else:
            directory = read_directory(partial(read_at, path), Path(given).stat().st_size)
    except (ZipError, OSError) as error:
        reason = error.strerror if is_remote(path) and isinstance(error, OSError) else error
        raise ShardsError(f"{option} {given} is not a readable zip: {reason}", "Download or pack it again") from None
    if directory is None:
        return None
    tree = archive_tree(given, directory)
    _refuse_packed(given, directory, tree.rows)
    return tree


def archive_tree(given: str, members: Members) -> ZipTree:
    """Return the tree of an archive with these members; hidden files are left out.

    Raises:
        ShardsError: a name leads out of the archive.
    """
    subfolders: dict[str, list[str]] = {"": []}
    rows = {"": array("q")}
    for row, name in enumerate(members.names):
        folder, _, base = name.rpartition("/")
        # A listed folder has been checked before.
        if not (folder and folder in rows and base and base[0] != "." and "\\" not in base):
            parts = name.rstrip("/").split("/")
            if name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
                raise ShardsError(
                    f"{given}:{name} points outside its archive or is not a plain path",
                    f"Pack {members.KIND} again without such names",
                )
            folder = "/".join(parts if name.endswith("/") else parts[:-1])
            if parts[-1].startswith(".") or parts[0] == "__MACOSX" or len(parts) > _DEEPEST:
                continue
            at = folder
            while at not in rows:
                rows[at] = array("q")
                subfolders.setdefault(at, [])
                at, _, inner = at.rpartition("/")
                subfolders.setdefault(at, []).append(inner)
        if not name.endswith("/"):
            rows[folder].append(row)
    return ZipTree(given, "", members, subfolders, rows)


def read_directory(read: ReadAt, size: int) -> Directory | None:
    """Read the directory of an archive, or return None if the file has no zip's end record.

    Args:
        read: bytes of the file at an offset.
        size: of the file in bytes.

    Raises:
        ZipError: it is damaged.
        OSError: it cannot be read.
    """
    file = _ZipReader(read, size)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        if file.entries not in (_MANY, len(members) & _MANY):
            raise zipfile.BadZipFile("Truncated central directory")
        columns = [_column(members, name) for name in ("flag_bits", "compress_type", "CRC", *_NUMBERS)]
    except OverflowError:
        raise ZipError(_BEYOND) from None
    # zipfile raises many kinds of errors, also for a name that is not UTF-8.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        if file.entries is None:
            return None
        raise ZipError(str(error)) from None
    if any((column < 0).any() or (column > _FARTHEST).any() for column in columns):
        raise ZipError(_BEYOND)
    return Directory(Texts.of(map(_name, members)), *columns)


def _column(members: list[zipfile.ZipInfo], name: str) -> NDArray[np.int64]:
    return np.fromiter(map(attrgetter(name), members), np.int64, len(members))


def _name(member: zipfile.ZipInfo) -> str:
    """Return a member's name: as UTF-8 if valid (macOS omits the flag), else in code page 437 as zipfile does."""
    name = member.filename
    if name.isascii() or member.flag_bits & _UTF8:
        return name
    with suppress(UnicodeError):
        return name.encode("cp437").decode()
    return name


class _ZipReader:
    """A file for `zipfile`: its end is read at once, and the directory in one piece.

    Attributes:
        entries: number of members in the end record, see `_MANY`; None if there is no record.
    """

    def __init__(self, read: ReadAt, size: int) -> None:
        self._read, self._size, self._at = read, size, 0
        self._end_at = max(0, size - _RECORD - _MANY)
        self._end = read(self._end_at, size - self._end_at)
        at = self._end.rfind(b"PK\5\6")
        is_zip = 0 <= at <= len(self._end) - _RECORD
        self.entries = int.from_bytes(self._end[at + 10 : at + 12], "little") if is_zip else None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + (0, self._at, self._size)[whence]
        if at < 0:
            raise OSError(errno.EINVAL, "Bad offset for central directory")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        at, end = self._at, self._size if size is None or size < 0 else min(self._at + size, self._size)
        self._at = max(at, end)
        if at >= self._end_at:
            return self._end[at - self._end_at : end - self._end_at]
        return self._read(at, end - at)


def _refuse_packed(archive: str, directory: Directory, rows: Mapping[str, array[int]]) -> None:
    """Refuse an archive with a file that cannot be read in place."""
    odd = (directory.flags & _ENCRYPTED).astype(bool) | ~np.isin(
        directory.method, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    )
    if not odd.any():
        return
    for row in sorted(row for inside in rows.values() for row in inside if odd[row]):
        name = directory.names[row]
        if directory.flags[row] & _ENCRYPTED:
            raise ShardsError(f"{archive}:{name} is encrypted", "Pack the zip again without a password")
        raise ShardsError(
            f"{archive}:{name} is packed with method {directory.method[row]}",
            "Pack the zip again, stored (zip -0) or deflated",
        )
