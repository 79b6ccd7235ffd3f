"""The place of a picture's bytes: a file, an object of a bucket, a member of an archive, or a broken path."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from hashlib import blake2b
from io import BytesIO
from typing import ClassVar, Literal, TypeVar

from isal.isal_zlib import crc32
from msgspec import Struct

from lpff_shards.errors import ExportFailed
from lpff_shards.schemas.record import Blob
from lpff_shards.schemas.uris import is_uri
from lpff_shards.storage.bucket import PIECE, BucketPath, Listed
from lpff_shards.storage.file_io import pread_fully
from lpff_shards.storage.prefetch import prefetch

T = TypeVar("T")

# Opening a pipe in place of a picture must not block; files are unaffected.
_READ = os.O_RDONLY | os.O_NONBLOCK
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SLACK = 64
"""Extra bytes requested for a member, since its local header's extra field is unknown: fewer than its directory entry
and the directory's end, which always follow."""
_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

MAX_BYTES = 1 << 28
"""Most bytes of a picture's file: Flickr accepts photos of 200 MB."""
MAX_JSON_BYTES = 1 << 31
"""Most bytes of a JSON file: LPFF's info.json of a million records has 600 MB."""
_BOMB_BYTES, _BOMB_RATIO = 1 << 26, 100
"""A larger zip member compressed to less than a hundredth is not inflated: records shrink to a tenth."""
_PIECES_AT_ONCE = 8
_CRC_DIGITS = 8


class BlobError(Exception):
    """The bytes of a picture cannot be read; the text is the reason."""


class FileBlob(Struct, frozen=True, gc=False):
    """A regular file; `stamp` is its modification time in nanoseconds."""

    path: str
    size: int
    stamp: int = 0

    @property
    def where(self) -> str:
        return self.path

    def read(self, most: int = MAX_BYTES) -> bytes:
        _refuse_large(self.size, most)
        # One byte more than the size is read, so the size of a larger file comes from stat.
        data = _read_file(self.path, self.path, self.size + 1)
        if len(data) != self.size:
            found = len(data) if len(data) < self.size else max(path_blob(self.path).size, len(data))
            raise BlobError(f"has {found} bytes, not the {self.size} it had when the export was planned")
        return data

    def head(self, most: int) -> bytes:
        return _read_file(self.path, self.path, most)


class ZipBlob(Struct, frozen=True, gc=False):
    """A zip member: `packed` bytes, stored or deflated, after the local header at `header`.

    Attributes:
        archive: path or URI of the zip.
        crc: CRC-32 of the member's contents.
    """

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

    def read(self, most: int = MAX_BYTES) -> bytes:
        _refuse_large(max(self.size, self.packed), most)
        if self.size > max(_BOMB_BYTES, _BOMB_RATIO * self.packed):
            raise BlobError(f"has {self.size:,} bytes, packed in {self.packed:,}, like a zip bomb")
        data = self._packed()
        if len(data) != self.packed:
            raise BlobError(f"is cut short in the zip: {len(data)} of {self.packed} bytes")
        if self.method == "deflated":
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            data = _inflate(inflater, data, self.size + 1)
            if len(data) != self.size or not inflater.eof:
                raise BlobError(f"does not inflate to the {self.size} bytes in the zip's directory")
        if crc32(data) != self.crc:
            raise BlobError("does not match its CRC-32 in the zip: the zip has changed or is damaged")
        return data

    def head(self, most: int) -> bytes:
        # Reads the local header with the bytes, which saves two system calls.
        raw = self._from_header(most)
        start = _header_size(raw)
        data = raw[start : start + self.packed]
        return data if self.method == "stored" else _inflate(zlib.decompressobj(-zlib.MAX_WBITS), data, most)

    def _packed(self) -> bytes:
        """Read the member's packed bytes, fewer if the archive ends before."""
        if not is_uri(self.archive):
            return _read_file(self.where, self.archive, self.packed, self.header, is_member=True)
        raw = self._from_header(self.packed)
        start = _header_size(raw)
        missing = start + self.packed - len(raw)
        if missing > 0:
            path = BucketPath.parse(self.archive)
            raw += request_picture(self.where, lambda: path.read_at(self.header + len(raw), missing))
        return raw[start : start + self.packed]

    def _from_header(self, most: int) -> bytes:
        """Read the local header and the first `most` packed bytes; not all of these if the header is long."""
        size = _LOCAL_HEADER.size + len(self.member.encode()) + _SLACK + min(self.packed, most)
        if not is_uri(self.archive):
            return _read_file(self.where, self.archive, size, self.header)
        path = BucketPath.parse(self.archive)
        return request_picture(self.where, lambda: read_range(path, self.header, size))


class RarBlob(Struct, frozen=True, gc=False):
    """A stored file of a RAR archive on disk: `size` bytes at `at`, and their checksum, see `rar_checksum`."""

    FEW: ClassVar[tuple[str, ...]] = ("archive",)

    archive: str
    member: str
    size: int
    at: int
    checksum: str

    @property
    def where(self) -> str:
        return f"{self.archive}:{self.member}"

    @property
    def stamp(self) -> int:
        return int(self.checksum[:8], 16)

    def read(self, most: int = MAX_BYTES) -> bytes:
        _refuse_large(self.size, most)
        data = self.head(self.size)
        if len(data) != self.size:
            raise BlobError(f"is cut short in the RAR archive: {len(data)} of {self.size} bytes")
        if rar_checksum([data], self.checksum) != self.checksum:
            raise BlobError("does not match its checksum in the RAR archive: the archive has changed or is damaged")
        return data

    def head(self, most: int) -> bytes:
        return _read_file(self.where, self.archive, min(most, self.size), self.at)


def rar_checksum(pieces: Iterable[bytes], like: str) -> str:
    """Return the checksum of a file's pieces in hexadecimal digits, of the kind of another: CRC-32 (8) or BLAKE2sp."""
    if len(like) == _CRC_DIGITS:
        crc = 0
        for piece in pieces:
            crc = crc32(piece, crc)
        return f"{crc:08x}"
    import rarfile

    blake = rarfile.Blake2SP()
    for piece in pieces:
        blake.update(piece)
    return str(blake.hexdigest())


class ObjectBlob(Struct, frozen=True, gc=False):
    """An object of a bucket; `etag` identifies its contents when it was listed."""

    uri: str
    size: int
    etag: str

    @property
    def where(self) -> str:
        return self.uri

    @property
    def stamp(self) -> int:
        return int.from_bytes(blake2b(self.etag.encode(), digest_size=8).digest(), "big")

    def read(self, most: int = MAX_BYTES) -> bytes:
        """Return the object, a large one by pieces.

        Raises:
            BlobError: it is missing or has changed.
            ExportFailed: the store failed; the picture is not at fault.
        """
        _refuse_large(self.size, most)
        if self.size <= PIECE:
            return self._get()
        return _by_pieces(lambda at: self._get(at, min(PIECE, self.size - at)), 0, self.size)

    def head(self, most: int) -> bytes:
        return self._get(0, min(most, self.size)) if self.size else b""

    def _get(self, *part: int) -> bytes:
        """Return the object, or a part from an offset on."""

        def is_same(found: Listed) -> bool:
            return found.size == self.size and found.etag == self.etag

        path = BucketPath.parse(self.uri)
        found, data = request_picture(self.uri, lambda: path.get(is_same, *part))
        if found.size != self.size:
            raise BlobError(f"has {found.size} bytes, not the {self.size} it had when the export was planned")
        if found.etag != self.etag:
            raise BlobError("has changed since the export was planned")
        return bytes(data)


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


def is_remote(blob: Blob) -> bool:
    """Return whether a blob is in a bucket."""
    return isinstance(blob, ObjectBlob) or (isinstance(blob, ZipBlob) and is_uri(blob.archive))


def oversize(size: int, most: int = MAX_BYTES) -> str | None:
    """Return why a file of `size` bytes is not read, or None."""
    return f"has {size:,} bytes; at most {most:,} are read" if size > most else None


def _refuse_large(size: int, most: int) -> None:
    if reason := oversize(size, most):
        raise BlobError(reason)


def _read_file(where: str, path: str, most: int, at: int = 0, *, is_member: bool = False) -> bytes:
    """Read at most `most` bytes of a file, with fewer system calls than the seven of `Path.read_bytes`.

    `is_member` skips the local header of a zip member. Its extra field may be longer than the directory's.
    """
    try:
        fd = os.open(path, _READ)
        try:
            if is_member:
                at += _header_size(pread_fully(fd, _LOCAL_HEADER.size, at))
            return pread_fully(fd, most, at)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in _MACHINE:
            raise ExportFailed(f"{where} cannot be read: {error.strerror}", "Use fewer --workers") from None
        raise BlobError(f"cannot be read: {error.strerror}") from error


def _header_size(head: bytes) -> int:
    """Return the size in bytes of a zip member's local header with its name and extra field."""
    if len(head) < _LOCAL_HEADER.size or not head.startswith(b"PK\x03\x04"):
        raise BlobError("has no local header at its offset in the zip: the zip has changed or is damaged")
    _, name, extra = _LOCAL_HEADER.unpack_from(head)
    return int(_LOCAL_HEADER.size + name + extra)


def _inflate(inflater: zlib._Decompress, data: bytes, most: int) -> bytes:
    try:
        return inflater.decompress(data, most)
    except zlib.error as error:
        raise BlobError(f"does not inflate: {error}") from error


def request_picture(where: str, request: Callable[[], T]) -> T:
    """Return the result of a request for a picture.

    Raises:
        BlobError: the object does not exist.
        ExportFailed: the store refuses or does not respond; the picture is not at fault.
    """
    try:
        return request()
    except FileNotFoundError as error:
        raise BlobError(f"cannot be read: {error.strerror}") from error
    except OSError as error:
        raise ExportFailed(
            f"{where} cannot be read: {error.strerror}",
            "Check rights and network, then run the same command again; finished shards are kept",
        ) from None


def read_range(path: BucketPath, at: int, size: int) -> bytes:
    """Read bytes of an object, fewer if it ends before; large ranges by pieces.

    Raises:
        OSError: the store failed.
    """
    if size <= PIECE:
        return path.read_at(at, size)
    end = at + size
    return _by_pieces(lambda at: path.read_at(at, min(PIECE, end - at)), at, end)


def _by_pieces(read: Callable[[int], bytes], at: int, end: int) -> bytes:
    """Read a range in pieces, several at once, with one copy in memory."""
    data = BytesIO()
    with closing(prefetch(read, range(at, end, PIECE), _PIECES_AT_ONCE)) as pieces:
        for piece in pieces:
            data.write(piece)
    return data.getvalue()
