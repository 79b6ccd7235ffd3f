"""The pictures of one shard: each file is read and decoded once, even if several samples show it.

Objects in buckets are prefetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from operator import attrgetter

from lpff_shards.errors import BadInput
from lpff_shards.exporters.pictures import ProcessedImage, process_image
from lpff_shards.formats.pictures.decoding import PictureError
from lpff_shards.options.export import PictureOptions
from lpff_shards.schemas.archive import misfit
from lpff_shards.schemas.record import Blob, Entry
from lpff_shards.sources.io.blobs import BlobError, is_remote
from lpff_shards.storage.prefetch import prefetch

KEPT_BYTES = 64 * 10**6
"""Most bytes kept for later samples; beyond it a picture is made again, so memory stays bounded."""

_Shown = tuple[str, bool]


class ImageCache:
    """Makes the stored pictures of one shard's entries, requested in their order.

    Args:
        entries: entries of the shard.
        options: how pictures are stored.
        side: side that every picture must have, if the format requires one, see `misfit`.

    An original, its mirror and their replicas need one read and one decode: the first request makes both variants, and
    each is kept until its last entry has used it. Objects in buckets are prefetched.
    """

    def __init__(self, entries: Sequence[Entry], options: PictureOptions, side: int | None = None) -> None:
        self._options = options
        self._side = side
        self._fetching = Fetching([entry.record.blob for entry in entries])
        self._due = Counter(map(_shown, entries))
        self._kept: dict[_Shown, ProcessedImage] = {}
        self._kept_bytes = 0

    def stored(self, entry: Entry) -> ProcessedImage:
        """Return the picture of an entry.

        Raises:
            BadInput: the picture cannot be read or stored; names the file and the id.
        """
        shown = _shown(entry)
        self._due[shown] -= 1
        found = self._kept.get(shown) or self._made(entry, shown)
        if not self._due[shown] and shown in self._kept:
            del self._kept[shown]
            self._kept_bytes -= len(found.picture.data)
        picture = found.picture
        if self._side is not None and (reason := misfit(picture.width, picture.height, picture.mode, self._side)):
            raise BadInput(entry.record.blob.where, entry.record.id, reason)
        return found

    def close(self) -> None:
        """Cancel prefetches that are not needed."""
        self._fetching.close()

    def _made(self, entry: Entry, shown: _Shown) -> ProcessedImage:
        where, flip = shown
        other = (where, not flip)
        wanted = [shown, other] if self._due[other] and other not in self._kept else [shown]
        try:
            data = self._fetching.read(entry.record.blob)
            made = process_image(data, [flipped for _, flipped in wanted], self._options, must_decode=entry.must_decode)
        except (BlobError, PictureError) as error:
            raise BadInput(where, entry.record.id, str(error)) from None
        for name, stored in zip(wanted, made, strict=True):
            size = len(stored.picture.data)
            if self._due[name] and self._kept_bytes + size <= KEPT_BYTES:
                self._kept[name] = stored
                self._kept_bytes += size
        return made[0]


def _shown(entry: Entry) -> _Shown:
    """Return what determines an entry's picture: the file, and whether it is flipped."""
    return entry.record.blob.where, entry.flip


AHEAD_BYTES = 64 * 10**6
"""Most bytes prefetched, in each process that writes shards."""

Read = bytes | BlobError


class Fetching:
    """Reads blobs, requested roughly in their order.

    Args:
        blobs: blobs that will be read; a repeated blob is prefetched once.
    """

    def __init__(self, blobs: Sequence[Blob]) -> None:
        places = {blob.where: blob for blob in blobs if is_remote(blob)}
        # Prefetching a single blob gains nothing.
        self._due = set(places) if len(places) > 1 else set()
        self._answers = fetched(list(places.values()))
        self._ahead = zip(places, self._answers, strict=False)

    def read(self, blob: Blob) -> bytes:
        """Return a blob's bytes.

        Raises:
            BlobError: as the blob's own `read`.
        """
        if not self._due or blob.where not in self._due:
            return blob.read()
        answer = self._next(blob.where)
        if isinstance(answer, BlobError):
            raise answer
        return answer

    def _next(self, where: str) -> Read:
        for due, answer in self._ahead:
            self._due.remove(due)
            if due == where:
                return answer
        raise KeyError(where)

    def close(self) -> None:
        """Cancel pending prefetches."""
        self._answers.close()


def fetched(blobs: Sequence[Blob]) -> Generator[Read, None, None]:
    """Yield the bytes of blobs in buckets in order, or the error of each that cannot be read."""
    return prefetch(_read, blobs, size=attrgetter("size"), most_bytes=AHEAD_BYTES)


def _read(blob: Blob) -> Read:
    try:
        return blob.read()
    except BlobError as error:
        return error
