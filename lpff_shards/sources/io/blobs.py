"""The location of a picture's bytes: a file, a zip member read at its offset, or a broken path with a reason."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

from isal.isal_zlib import crc32
from msgspec import Struct

from lpff_shards.errors import ExportFailed
from lpff_shards.storage.full_reads import pread_fully

# Opening a pipe in place of a picture must not block; files are unaffected.
_READ = os.O_RDONLY | os.O_NONBLOCK
_LOCAL_HEADER = struct.Struct("<4s22xHH")
LOCAL_HEADER = _LOCAL_HEADER.size
"""Bytes of a zip member's local header without its name and extra field."""
SLACK = 64
"""Extra bytes requested for a member, since its local header's extra field is unknown: fewer than its directory entry
and the directory's end, which always follow."""

_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

MAX_BYTES = 1 << 28
"""Most bytes of a picture's file: Flickr accepts photos of 200 MB."""

MAX_JSON_BYTES = 1 << 31
"""Most bytes of a JSON file: LPFF's info.json of a million records has 600 MB."""


BOMB_BYTES, BOMB_RATIO = 1 << 26, 100
"""A larger zip member compressed to less than a hundredth is not inflated: records shrink to a tenth."""


class BlobError(Exception):
    """The bytes of a picture cannot be read; the text is the reason."""


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, _READ)
    try:
        yield fd
    finally:
        os.close(fd)


class FileBlob(Struct, frozen=True, gc=False):
    """A regular file; `stamp` is its modification time in nanoseconds."""

    path: str
    size: int
    stamp: int = 0

    @property
    def where(self) -> str:
        return self.path

    def read(self) -> bytes:
        return self.whole(MAX_BYTES)

    def whole(self, most: int) -> bytes:
        """Return all bytes, at most `most`; raises the errors of `read`."""
        refuse_large(self.size, most)
        try:
            data = _read_file(self.path, self.size + 1)
            # Only one byte more than the size was read: the size of a larger file comes from stat.
            found = len(data) if len(data) <= self.size else os.stat(self.path).st_size  # noqa: PTH116
        except OSError as error:
            raise unreadable(self.where, error) from error
        if len(data) != self.size:
            raise BlobError(f"has {found} bytes, not the {self.size} it had when the export was planned")
        return data

    def head(self, most: int) -> bytes:
        try:
            return _read_file(self.path, most)
        except OSError as error:
            raise unreadable(self.where, error) from error


def unreadable(where: str, error: OSError) -> BlobError:
    """Return the error for a picture that the system cannot open or read.

    Raises:
        ExportFailed: the machine's limits are reached; the picture is not at fault.
    """
    if error.errno in _MACHINE:
        raise ExportFailed(f"{where} cannot be read: {error.strerror}", "Use fewer --workers") from None
    return BlobError(f"cannot be read: {error.strerror}")


def _read_file(path: str, most: int, at: int = 0) -> bytes:
    """Read at most `most` bytes of a file, with fewer system calls than the seven of `Path.read_bytes`."""
    fd = os.open(path, _READ)
    try:
        return pread_fully(fd, most, at)
    finally:
        os.close(fd)


class BrokenBlob(Struct, frozen=True, gc=False):
    """A name without a readable file: a broken link, a pipe, a folder named like a picture."""

    where: str
    reason: str
    size: int = -1
    stamp: int = 0

    def head(self, most: int) -> bytes:  # noqa: ARG002
        raise BlobError(self.reason)

    def read(self) -> bytes:
        raise BlobError(self.reason)


def path_blob(path: str) -> FileBlob | BrokenBlob:
    """Return the blob of a path on disk; only regular files are opened."""
    try:
        # Called for every picture: creating a Path would take longer than the call.
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        return BrokenBlob(path, f"cannot be read: {error.strerror}")
    except ValueError as error:  # a zero byte in the name
        return BrokenBlob(path, f"cannot be read: {error}")
    if not stat.S_ISREG(status.st_mode):
        return BrokenBlob(path, "is not a regular file")
    return FileBlob(path, status.st_size, status.st_mtime_ns)


class ZipBlob(Struct, frozen=True, gc=False):
    """A zip member: `packed` bytes, stored or deflated, after the local header at `header`; `crc`: of its contents."""

    FEW: ClassVar[tuple[str, ...]] = ("archive",)

    archive: str
    member: str
    size: int
    header: int
    packed: int
    crc: int
    method: Literal["stored", "deflated"]

    @property
    def where(self) -> str:
        return f"{self.archive}:{self.member}"

    @property
    def stamp(self) -> int:
        return self.crc

    def read(self) -> bytes:
        return self.whole(MAX_BYTES)

    def whole(self, most: int) -> bytes:
        """Return all bytes, at most `most` packed or not; raises the errors of `read`."""
        refuse_large(max(self.size, self.packed), most)
        if self.size > max(BOMB_BYTES, BOMB_RATIO * self.packed):
            raise BlobError(f"has {self.size:,} bytes, packed in {self.packed:,}, like a zip bomb")
        data = self._packed()
        if len(data) != self.packed:
            raise BlobError(f"is cut short in the zip: {len(data)} of {self.packed} bytes")
        if self.method == "deflated":
            data = self._inflate(data)
        if crc32(data) != self.crc:
            raise BlobError("does not match its CRC-32 in the zip: the zip has changed or is damaged")
        return data

    def head(self, most: int) -> bytes:
        # Reads the local header with the bytes, which saves two system calls.
        raw = self._from_header(self._span(most))
        start = header_size(raw)
        data = raw[start : start + self.packed]
        try:
            return data if self.method == "stored" else zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most)
        except zlib.error as error:
            raise BlobError(f"does not inflate: {error}") from error

    def _span(self, most: int) -> int:
        """Return the number of bytes from the local header on that include the member's first `most` bytes."""
        return LOCAL_HEADER + len(self.member.encode()) + SLACK + min(self.packed, most)

    def _from_header(self, size: int) -> bytes:
        """Read bytes of the archive from the local header on."""
        try:
            return _read_file(self.archive, size, self.header)
        except OSError as error:
            raise unreadable(self.where, error) from error

    def _packed(self) -> bytes:
        """Read the member's packed bytes, fewer if the archive ends before."""
        try:
            with _opened(self.archive) as fd:
                # The local header's extra field may be longer than the directory's: its length is read from the file.
                start = self.header + header_size(pread_fully(fd, LOCAL_HEADER, self.header))
                return pread_fully(fd, self.packed, start)
        except OSError as error:
            raise unreadable(self.where, error) from error

    def _inflate(self, data: bytes) -> bytes:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            out = inflater.decompress(data, self.size + 1)
        except zlib.error as error:
            raise BlobError(f"does not inflate: {error}") from error
        if len(out) != self.size or not inflater.eof:
            raise BlobError(f"does not inflate to the {self.size} bytes in the zip's directory")
        return out


def oversize(size: int, most: int = MAX_BYTES) -> str | None:
    """Return why a file of `size` bytes is not read, or None."""
    return f"has {size:,} bytes; at most {most:,} are read" if size > most else None


def refuse_large(size: int, most: int) -> None:
    """Raise BlobError if a file has too many bytes."""
    if reason := oversize(size, most):
        raise BlobError(reason)


def header_size(head: bytes) -> int:
    """Return the size in bytes of a zip member's local header with its name and extra field.

    Raises:
        BlobError: the bytes are not a local header.
    """
    if len(head) < LOCAL_HEADER or not head.startswith(b"PK\x03\x04"):
        raise BlobError("has no local header at its offset in the zip: the zip has changed or is damaged")
    _, name, extra = _LOCAL_HEADER.unpack_from(head)
    return int(LOCAL_HEADER + name + extra)
