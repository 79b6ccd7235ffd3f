"""Where the bytes of a picture are: a file, a member of a zip read at its offset, or nowhere, and why."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from typing import Literal

from isal.isal_zlib import crc32
from msgspec import Struct

# A pipe that has taken a picture's place must not be waited for; of files it changes nothing.
_READ = os.O_RDONLY | os.O_NONBLOCK
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class BlobError(Exception):
    """The bytes of a picture could not be had; the text says why."""


class FileBlob(Struct, frozen=True, gc=False):
    """A regular file; `stamp` is the time of its last change in nanoseconds."""

    path: str
    size: int
    stamp: int = 0

    @property
    def where(self) -> str:
        return self.path

    def read(self) -> bytes:
        try:
            data = _read_file(self.path, self.size + 1)
            # Only the size itself was asked for, and a byte more: a file that has grown tells its new one.
            found = len(data) if len(data) <= self.size else os.stat(self.path).st_size  # noqa: PTH116
        except OSError as error:
            raise BlobError(f"cannot be read: {error.strerror}") from error
        if len(data) != self.size:
            raise BlobError(f"has {found} bytes, not the {self.size} it had when the export was planned")
        return data


def _read_file(path: str, most: int) -> bytes:
    """The first `most` bytes of a file: three system calls, where `Path.read_bytes` needs seven."""
    fd = os.open(path, _READ)
    try:
        data = os.read(fd, most)
        # The system hands out 2 GiB at most in one piece, and less where a signal came.
        while len(data) < most and (more := os.read(fd, most - len(data))):
            data += more
        return data
    finally:
        os.close(fd)


class BrokenBlob(Struct, frozen=True, gc=False):
    """A name behind which there is no file to read: a link to nowhere, a pipe, a folder named like a picture."""

    where: str
    reason: str
    size: int = 0
    stamp: int = 0

    def read(self) -> bytes:
        raise BlobError(self.reason)


def path_blob(path: str) -> FileBlob | BrokenBlob:
    """The blob of a path on disk, whatever is there; only a regular file is ever opened."""
    try:
        # Asked once a picture; a Path of each would take longer than asking.
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        return BrokenBlob(path, f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return BrokenBlob(path, "is not a regular file")
    return FileBlob(path, status.st_size, status.st_mtime_ns)


class ZipBlob(Struct, frozen=True, gc=False):
    """A member of a zip: stored or deflated, `packed` bytes behind the local header at `header`; `crc` as unpacked."""

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
        try:
            fd = os.open(self.archive, _READ)
            try:
                data = self._read_packed(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise BlobError(f"cannot be read: {error.strerror}") from error
        if self.method == "deflated":
            data = self._inflate(data)
        if crc32(data) != self.crc:
            raise BlobError("does not match its CRC-32 in the zip: the zip has changed or is damaged")
        return data

    def _read_packed(self, fd: int) -> bytes:
        # The local header's extra field may be longer than the directory's, so its lengths are read from the file.
        head = os.pread(fd, _LOCAL_HEADER.size, self.header)
        if len(head) < _LOCAL_HEADER.size or not head.startswith(b"PK\x03\x04"):
            raise BlobError("has no local header where the zip's directory says: the zip has changed or is damaged")
        _, name, extra = _LOCAL_HEADER.unpack(head)
        data = os.pread(fd, self.packed, self.header + _LOCAL_HEADER.size + name + extra)
        if len(data) != self.packed:
            raise BlobError(f"is cut short in the zip: {len(data)} of {self.packed} bytes")
        return data

    def _inflate(self, data: bytes) -> bytes:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            out = inflater.decompress(data, self.size + 1)
        except zlib.error as error:
            raise BlobError(f"does not inflate: {error}") from error
        if len(out) != self.size or not inflater.eof:
            raise BlobError(f"does not inflate to the {self.size} bytes that the zip's directory says")
        return out
