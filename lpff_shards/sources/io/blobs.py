"""Where the bytes of a picture are: a file, a member of a zip read at its offset, or nowhere, and why."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal

from isal.isal_zlib import crc32
from msgspec import Struct

from lpff_shards.errors import ExportFailed
from lpff_shards.schemas.columns.structs import Structs
from lpff_shards.schemas.record import Blob
from lpff_shards.storage.full_reads import pread_fully

# A pipe that has taken a picture's place must not be waited for; of files it changes nothing.
_READ = os.O_RDONLY | os.O_NONBLOCK
_LOCAL_HEADER = struct.Struct("<4s22xHH")
LOCAL_HEADER = _LOCAL_HEADER.size
"""Bytes of a zip member's local header without its name and extra field."""
SLACK = 64
"""Bytes that are asked for beyond a member's own, since its local header's extra field is not known: less than always
stands behind it, the directory's entry of it and the directory's end."""

_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

MAX_BYTES = 1 << 28
"""Most bytes of a picture's file: Flickr takes photos of 200 MB."""

MAX_JSON_BYTES = 1 << 31
"""Most bytes of a JSON file: LPFF's info.json of a million records has 600 MB."""


BOMB_BYTES, BOMB_RATIO = 1 << 26, 100
"""A zip's member of more bytes that shrank to less than a hundredth is not inflated: records shrink to a tenth."""


class BlobError(Exception):
    """The bytes of a picture could not be had; the text says why."""


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, _READ)
    try:
        yield fd
    finally:
        os.close(fd)


class FileBlob(Struct, frozen=True, gc=False):
    """A regular file; `stamp` is the time of its last change in nanoseconds."""

    NAMED: ClassVar[str] = "path"

    path: str
    size: int
    stamp: int = 0

    @property
    def where(self) -> str:
        return self.path

    def read(self) -> bytes:
        return self.whole(MAX_BYTES)

    def whole(self, most: int) -> bytes:
        """All bytes, where they are at most `most`; raises what `read` does."""
        refuse_large(self.size, most)
        try:
            data = _read_file(self.path, self.size + 1)
            # Only the size itself was asked for, and a byte more: a file that has grown tells its new one.
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
    """Return the error for a picture that the system does not open or read.

    Raises:
        ExportFailed: the machine's limits are reached, which says nothing of the picture.
    """
    if error.errno in _MACHINE:
        raise ExportFailed(f"{where} cannot be read: {error.strerror}", "Use fewer --workers") from None
    return BlobError(f"cannot be read: {error.strerror}")


def _read_file(path: str, most: int, at: int = 0) -> bytes:
    """At most `most` bytes of a file: few system calls, where `Path.read_bytes` needs seven."""
    fd = os.open(path, _READ)
    try:
        return pread_fully(fd, most, at)
    finally:
        os.close(fd)


class BrokenBlob(Struct, frozen=True, gc=False):
    """A name behind which there is no file to read: a link to nowhere, a pipe, a folder named like a picture."""

    where: str
    reason: str
    size: int = 0
    stamp: int = 0

    def head(self, most: int) -> bytes:  # noqa: ARG002
        raise BlobError(self.reason)

    def read(self) -> bytes:
        raise BlobError(self.reason)


def path_blob(path: str) -> FileBlob | BrokenBlob:
    """The blob of a path on disk, whatever is there; only a regular file is ever opened."""
    try:
        # Asked once a picture; a Path of each would take longer than asking.
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        return BrokenBlob(path, f"cannot be read: {error.strerror}")
    except ValueError as error:  # a zero byte in the name
        return BrokenBlob(path, f"cannot be read: {error}")
    if not stat.S_ISREG(status.st_mode):
        return BrokenBlob(path, "is not a regular file")
    return FileBlob(path, status.st_size, status.st_mtime_ns)


class ZipBlob(Struct, frozen=True, gc=False):
    """A member of a zip: stored or deflated, `packed` bytes behind the local header at `header`; `crc` as unpacked."""

    FEW: ClassVar[tuple[str, ...]] = ("archive",)
    NAMED: ClassVar[str] = "member"

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
        """All bytes, where they are at most `most`, packed or not; raises what `read` does."""
        refuse_large(max(self.size, self.packed), most)
        if self.size > max(BOMB_BYTES, BOMB_RATIO * self.packed):
            raise BlobError(f"has {self.size:,} bytes, packed in {self.packed:,}: so much of the same is no data set's")
        data = self._packed()
        if len(data) != self.packed:
            raise BlobError(f"is cut short in the zip: {len(data)} of {self.packed} bytes")
        if self.method == "deflated":
            data = self._inflate(data)
        if crc32(data) != self.crc:
            raise BlobError("does not match its CRC-32 in the zip: the zip has changed or is damaged")
        return data

    def head(self, most: int) -> bytes:
        # The local header comes along, which takes two system calls less than asking for it first.
        found = self._from_header(self._span(most))
        start = header_size(found)
        data = found[start : start + self.packed]
        try:
            return data if self.method == "stored" else zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most)
        except zlib.error as error:
            raise BlobError(f"does not inflate: {error}") from error

    def _span(self, most: int) -> int:
        """Bytes from the local header on that hold the member's first ones."""
        return LOCAL_HEADER + len(self.member.encode()) + SLACK + min(self.packed, most)

    def _from_header(self, size: int) -> bytes:
        """Bytes of the archive from the local header on."""
        try:
            return _read_file(self.archive, size, self.header)
        except OSError as error:
            raise unreadable(self.where, error) from error

    def _packed(self) -> bytes:
        """The member's bytes as they stand in the archive, fewer where it ends before."""
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
            raise BlobError(f"does not inflate to the {self.size} bytes that the zip's directory says")
        return out


def oversize(size: int, most: int = MAX_BYTES) -> str | None:
    """Return why a file of so many bytes is not read, or None."""
    return f"has {size:,} bytes; at most {most:,} are read" if size > most else None


def refuse_large(size: int, most: int) -> None:
    """Raise BlobError if a file has too many bytes."""
    if reason := oversize(size, most):
        raise BlobError(reason)


def header_size(head: bytes) -> int:
    """Bytes of a zip member's local header with its name and extra field.

    Raises:
        BlobError: it is none.
    """
    if len(head) < LOCAL_HEADER or not head.startswith(b"PK\x03\x04"):
        raise BlobError("has no local header where the zip's directory says: the zip has changed or is damaged")
    _, name, extra = _LOCAL_HEADER.unpack_from(head)
    return int(LOCAL_HEADER + name + extra)


def file_names(blobs: Sequence[Blob]) -> Iterable[str]:
    """What each picture's file is called, its folders before it or not; in columns no blob is made for that."""
    if isinstance(blobs, Structs) and len(blobs.kinds) == 1 and hasattr(blobs.kinds[0], "NAMED"):
        return blobs.column(blobs.kinds[0].NAMED)
    return (blob.where for blob in blobs)
