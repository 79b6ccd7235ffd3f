"""The files of a folder, and the sizes of pictures from the first bytes of their files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import glance
from lpff_shards.formats.pictures.header import PictureHeader
from lpff_shards.schemas.columns import Structs, Texts
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import BlobError, is_remote
from lpff_shards.storage.prefetch import prefetch

_HEAD, _LONG_HEAD = 1 << 12, 1 << 18
"""Bytes of a file read at first, and again if they do not include the picture's size: EXIF data may precede it."""
_AT_ONCE = 32


class Files(Mapping[str, Blob]):
    """Files directly in a folder, in columns: in a folder of a million they take 100 bytes each.

    Attributes:
        names: sorted, each once.
        blobs: in the same order.
    """

    __slots__ = ("blobs", "names")

    def __init__(self, names: Texts, blobs: Structs[Blob]) -> None:
        self.names, self.blobs = names, blobs

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Blob:
        at = bisect_left(self.names, name)
        if at == len(self) or self.names[at] != name:
            raise KeyError(name)
        return self.blobs[at]

    def pairs(self) -> Iterator[tuple[str, Blob]]:
        """Yield each name with its blob, without a search for each."""
        return zip(self.names, self.blobs, strict=True)

    def pictures(self) -> Files:
        """Return the files with names of pictures."""
        rows = np.flatnonzero(np.fromiter(map(is_picture, self.names), bool, len(self)))
        return self if len(rows) == len(self) else Files(self.names.take(rows), self.blobs.take(rows))


def is_picture(name: str) -> bool:
    """Return whether a file name is a picture's."""
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".webp"))


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` rows of `count`, spread evenly from the first to the last: int64, sorted."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def headers(blobs: Sequence[Blob] | Structs[Blob]) -> Iterator[PictureHeader | None]:
    """Yield the header of each picture, None if it is invalid or unreadable."""
    if len(blobs) and is_remote(blobs[0]):
        with closing(prefetch(_header, blobs, _AT_ONCE)) as found:
            yield from found
    else:
        yield from map(_header, blobs)


def _header(blob: Blob) -> PictureHeader | None:
    try:
        return glance(blob.head(_HEAD)) or glance(blob.head(_LONG_HEAD))
    except (BlobError, FormatError):
        # The export reports it when it reads the picture.
        return None


def sizes_of(blobs: Sequence[Blob] | Structs[Blob]) -> NDArray[np.int64]:
    """Return widths and heights of pictures in pixels, int64 [n, 2], zeros where unknown; each file is read once."""
    files = {blob.where: blob for blob in blobs}
    found = zip(files, headers(list(files.values())), strict=True)
    known = {where: (header.width, header.height) if header else (0, 0) for where, header in found}
    return np.array([known[blob.where] for blob in blobs], np.int64).reshape(-1, 2)
