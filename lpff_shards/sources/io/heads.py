"""What the first bytes of picture files say of them: their sizes, before an export reads them whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import WireError
from lpff_shards.formats.pictures.header import PictureHeader
from lpff_shards.formats.pictures.kinds import glance
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import BlobError
from lpff_shards.sources.io.objects import is_remote
from lpff_shards.storage.prefetch import ahead

HEAD, LONG_HEAD = 1 << 12, 1 << 18
"""Bytes of a file that are read first, and where they do not reach the picture's size: EXIF data may come before it."""
AT_ONCE = 32
"""Requests for objects that are under way together."""


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Which of `count` files are looked at, at most `most`, spread evenly from the first to the last: int64, sorted."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def headers(blobs: Sequence[Blob]) -> Iterator[PictureHeader | None]:
    """The header of each picture, None where its first bytes are none or cannot be read."""
    if any(map(is_remote, blobs[:1])):
        with closing(ahead(_header, blobs, AT_ONCE)) as found:
            yield from found
    else:
        yield from map(_header, blobs)


def sizes_of(blobs: Sequence[Blob]) -> NDArray[np.int64]:
    """Widths and heights of pictures in pixels, int64 [n, 2], zeros where unknown; what several share is read once."""
    known: dict[str, tuple[int, int]] = {}
    several = {blob.where: blob for blob in blobs}
    for where, header in zip(several, headers(list(several.values())), strict=True):
        known[where] = (header.width, header.height) if header else (0, 0)
    return np.array([known[blob.where] for blob in blobs], np.int64).reshape(-1, 2)


def _header(blob: Blob) -> PictureHeader | None:
    try:
        return glance(blob.head(HEAD)) or glance(blob.head(LONG_HEAD))
    except (BlobError, WireError):
        # Whoever reads it whole has the words for it.
        return None
