"""Pictures in a bucket: an object, or a member of a zip, each read by one request.

The sizes of many pictures are read from their first bytes before an export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from io import BytesIO
from typing import ClassVar, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ExportFailed
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import glance
from lpff_shards.formats.pictures.header import PictureHeader
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import MAX_BYTES, BlobError, ZipBlob, header_size, refuse_large
from lpff_shards.storage.bucket import PIECE, BucketPath, Listed
from lpff_shards.storage.prefetch import prefetch

T = TypeVar("T")

PIECES_AT_ONCE = 8


class ObjectBlob(Struct, frozen=True, gc=False):
    """An object; `etag` identifies its contents when it was listed."""

    NAMED: ClassVar[str] = "uri"

    uri: str
    size: int
    etag: str

    @property
    def where(self) -> str:
        return self.uri

    @property
    def stamp(self) -> int:
        return int.from_bytes(blake2b(self.etag.encode(), digest_size=8).digest(), "big")

    def read(self) -> bytes:
        """Return the object.

        Raises:
            BlobError: it is missing or has changed.
            ExportFailed: the store failed; the picture is not at fault.
        """
        return self.whole(MAX_BYTES)

    def whole(self, most: int) -> bytes:
        """Return the object, at most `most` bytes, a large one by pieces; raises the errors of `read`."""
        refuse_large(self.size, most)
        path = BucketPath.parse(self.uri)
        if self.size <= PIECE:
            return request_picture(self.uri, lambda: self._same(path.get(self._is)))

        def piece(at: int) -> bytes:
            return request_picture(self.uri, lambda: self._same(path.get(self._is, at, min(PIECE, self.size - at))))

        return _by_pieces(piece, 0, self.size)

    def head(self, most: int) -> bytes:
        """Return the object's first bytes; raises the errors of `read`."""
        if not self.size:
            return b""
        path = BucketPath.parse(self.uri)
        return request_picture(self.uri, lambda: self._same(path.get(self._is, 0, min(most, self.size))))

    def _is(self, found: Listed) -> bool:
        return found.size == self.size and found.etag == self.etag

    def _same(self, answer: tuple[Listed, memoryview]) -> bytes:
        found, data = answer
        if found.size != self.size:
            raise BlobError(f"has {found.size} bytes, not the {self.size} it had when the export was planned")
        if found.etag != self.etag:
            raise BlobError("has changed since the export was planned")
        return bytes(data)


class ObjectMember(ZipBlob, frozen=True, gc=False):
    """A member of a zip in a bucket; `archive` is the zip's URI."""

    def _from_header(self, size: int) -> bytes:
        path = BucketPath.parse(self.archive)
        return request_picture(self.where, lambda: read_range(path, self.header, size))

    def _packed(self) -> bytes:
        found = self._from_header(self._span(self.packed))
        start = header_size(found)
        missing = start + self.packed - len(found)
        if missing > 0:
            path = BucketPath.parse(self.archive)
            found += request_picture(self.where, lambda: path.read_at(self.header + len(found), missing))
        return found[start : start + self.packed]


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
    with closing(prefetch(read, range(at, end, PIECE), PIECES_AT_ONCE)) as pieces:
        for piece in pieces:
            data.write(piece)
    return data.getvalue()


def is_remote(blob: Blob) -> bool:
    """Return whether a blob is in a bucket."""
    return isinstance(blob, ObjectBlob | ObjectMember)


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


HEAD, LONG_HEAD = 1 << 12, 1 << 18
"""Bytes of a file read at first, and again if they do not include the picture's size: EXIF data may precede it."""
AT_ONCE = 32
"""Number of concurrent requests for objects."""


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` rows of `count`, spread evenly from the first to the last: int64, sorted."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def headers(blobs: Sequence[Blob]) -> Iterator[PictureHeader | None]:
    """Yield the header of each picture, None if it is invalid or unreadable."""
    if any(map(is_remote, blobs[:1])):
        with closing(prefetch(_header, blobs, AT_ONCE)) as found:
            yield from found
    else:
        yield from map(_header, blobs)


def sizes_of(blobs: Sequence[Blob]) -> NDArray[np.int64]:
    """Return widths and heights of pictures in pixels, int64 [n, 2], zeros where unknown; each file is read once."""
    known: dict[str, tuple[int, int]] = {}
    files = {blob.where: blob for blob in blobs}
    for where, header in zip(files, headers(list(files.values())), strict=True):
        known[where] = (header.width, header.height) if header else (0, 0)
    return np.array([known[blob.where] for blob in blobs], np.int64).reshape(-1, 2)


def _header(blob: Blob) -> PictureHeader | None:
    try:
        return glance(blob.head(HEAD)) or glance(blob.head(LONG_HEAD))
    except (BlobError, FormatError):
        # The export reports it when it reads the picture.
        return None
