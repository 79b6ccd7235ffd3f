"""The folders of a zip on disk or in a bucket, listed once, in columns."""

from __future__ import annotations

import errno
import os
import struct
import zipfile
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import attrgetter, eq
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.columns import Column, Numbers, Repeated, Rows, Structs, Texts
from lpff_shards.schemas.record import Blob
from lpff_shards.schemas.uris import is_uri
from lpff_shards.sources.io.blobs import ZipBlob, read_range
from lpff_shards.sources.io.files import Files
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.full_reads import pread_fully

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


@dataclass(frozen=True, eq=False)
class Directory:
    """The members of an archive, columns of length n.

    Attributes:
        names: as packed; those of folders end with a slash.
        flags, method, crc: int64 [n].
        size, packed, header: int64 [n], bytes unpacked and packed, and offset of the local header.
    """

    names: Texts
    flags: NDArray[np.int64]
    method: NDArray[np.int64]
    crc: NDArray[np.int64]
    size: NDArray[np.int64]
    packed: NDArray[np.int64]
    header: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Folder:
    """Names of a folder's folders, and the archive's rows of its files."""

    folders: list[str] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))


@dataclass(frozen=True)
class ZipTree:
    """A folder inside a zip; the archive's listing is read once."""

    archive: str
    inside: str
    directory: Directory = field(repr=False)
    listing: dict[str, _Folder] = field(repr=False)

    @property
    def path(self) -> None:
        """None: files in a zip have no path."""

    @property
    def where(self) -> str:
        return f"{self.archive}:{self.inside}" if self.inside else self.archive

    def folders(self) -> list[str]:
        return sorted(self.listing[self.inside].folders)

    def files(self) -> Files:
        return self._files

    @cached_property
    def _files(self) -> Files:
        rows = np.frombuffer(self.listing[self.inside].rows, np.int64)
        names = [name.rpartition("/")[2] for name in self.directory.names.take(rows)]
        order = sorted(range(len(names)), key=names.__getitem__)
        names = [names[at] for at in order]
        for duplicate in (name for name, same in zip(names, map(eq, names, names[1:]), strict=False) if same):
            where = f"{self.inside}/{duplicate}" if self.inside else duplicate
            raise ShardsError(f"{self.archive}:{where} is in the zip twice", "Pack the zip again with unique names")
        return Files(Texts.of(names), self._blobs(rows[np.array(order, np.int64)]))

    def _blobs(self, rows: Rows) -> Structs[Blob]:
        members = self.directory
        numbers = (Numbers(column[rows]) for column in (members.size, members.header, members.packed, members.crc))
        archive = Repeated(np.zeros(len(rows), np.int32), [self.archive])
        method = Repeated((members.method[rows] == zipfile.ZIP_DEFLATED).astype(np.int32), ["stored", "deflated"])
        columns: list[Column] = [archive, members.names.take(rows), *numbers, method]
        return Structs(ZipBlob, columns)

    def sub(self, name: str) -> ZipTree | None:
        inside = f"{self.inside}/{name}" if self.inside else name
        return ZipTree(self.archive, inside, self.directory, self.listing) if inside in self.listing else None


def zip_tree(option: str, given: str) -> ZipTree | None:
    """Return the tree of a zip, or None if the file is not a zip.

    Raises:
        ShardsError: it is damaged, or has a member that cannot be read in place.
    """
    try:
        directory = _directory(given)
    except (ZipError, OSError) as error:
        reason = error.strerror if is_uri(given) and isinstance(error, OSError) else error
        raise ShardsError(f"{option} {given} is not a readable zip: {reason}", "Download or pack it again") from None
    if directory is None:
        return None
    listing = {"": _Folder()}
    for row, name in enumerate(directory.names):
        folder, _, base = name.rpartition("/")
        # A listed folder has been checked before.
        if folder and folder in listing and base and base[0] != "." and "\\" not in base:
            listing[folder].rows.append(row)
        else:
            _add_member(given, row, name, listing)
    _refuse_packed(given, directory, listing)
    return ZipTree(given, "", directory, listing)


def _directory(given: str) -> Directory | None:
    if is_uri(given):
        path = BucketPath.parse(given)
        return read_directory(partial(read_range, path), path.size())
    with Path(given).open("rb", buffering=0) as file:
        fd = file.fileno()
        return read_directory(lambda at, size: pread_fully(fd, size, at), os.fstat(fd).st_size)


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


def _add_member(archive: str, row: int, filename: str, listing: dict[str, _Folder]) -> None:
    name = filename.rstrip("/")
    parts = name.split("/")
    if filename.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise ShardsError(
            f"{archive}:{filename} points outside its archive or is not a plain path",
            "Pack the zip again without such names",
        )
    if parts[-1].startswith(".") or parts[0] == "__MACOSX" or len(parts) > _DEEPEST:
        return
    is_folder = filename.endswith("/")
    folder = "/".join(parts) if is_folder else "/".join(parts[:-1])
    _add_folder(folder, listing)
    if not is_folder:
        listing[folder].rows.append(row)


def _add_folder(folder: str, listing: dict[str, _Folder]) -> None:
    """List a folder and its parents, unless listed; the root always is."""
    missing = []
    while folder not in listing:
        missing.append(folder)
        folder = folder.rpartition("/")[0]
    for path in reversed(missing):
        parent, _, name = path.rpartition("/")
        listing[path] = _Folder()
        listing[parent].folders.append(name)


def _refuse_packed(archive: str, directory: Directory, listing: dict[str, _Folder]) -> None:
    """Refuse an archive with a file that cannot be read in place."""
    odd = (directory.flags & _ENCRYPTED).astype(bool) | ~np.isin(
        directory.method, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    )
    if not odd.any():
        return
    for row in sorted(row for folder in listing.values() for row in folder.rows if odd[row]):
        name = directory.names[row]
        if directory.flags[row] & _ENCRYPTED:
            raise ShardsError(f"{archive}:{name} is encrypted", "Pack the zip again without a password")
        raise ShardsError(
            f"{archive}:{name} is packed with method {directory.method[row]}",
            "Pack the zip again, stored (zip -0) or deflated",
        )
