"""The pictures of one shard: each file is read and decoded once, however many of the shard's samples show it.

Objects of a bucket are requested ahead of their turn.
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
from lpff_shards.sources.io.blobs import BlobError
from lpff_shards.sources.io.objects import is_remote
from lpff_shards.storage.prefetch import ahead

KEPT_BYTES = 64 * 10**6
"""Most that is kept for samples to come; beyond it a picture is made again, so that memory stays bounded."""

_Shown = tuple[str, bool]


class ImageCache:
    """Makes stored pictures for the entries of one shard, asked for in their order.

    Args:
        entries: of the shard.
        options: what pictures are stored as.
        side: that every picture must have, where the format demands one, see `misfit`.

    An original, its mirror and their replicas need one reading and one decoding: what a later entry needs is made
    along with what the first one needs, and kept until the last one has had it. What lies in buckets is fetched ahead.
    """

    def __init__(self, entries: Sequence[Entry], options: PictureOptions, side: int | None = None) -> None:
        self._options = options
        self._side = side
        self._fetching = Fetching([entry.record.blob for entry in entries])
        self._due = Counter(map(_shown, entries))
        self._kept: dict[_Shown, ProcessedImage] = {}
        self._kept_bytes = 0

    def stored(self, entry: Entry) -> ProcessedImage:
        """The picture of an entry.

        Raises:
            BadInput: it cannot be read or stored; it names the file and the id.
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
        """Lets go of what was asked for and is not needed."""
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
    """What decides an entry's picture: the file, and whether it is flipped."""
    return entry.record.blob.where, entry.flip


AHEAD_BYTES = 64 * 10**6
"""Most that waits for its turn, in each process that writes shards."""

Read = bytes | BlobError


class Fetching:
    """Reads blobs, which are asked for about in their order.

    Args:
        blobs: that will be read; what comes again is fetched ahead once only.
    """

    def __init__(self, blobs: Sequence[Blob]) -> None:
        places = {blob.where: blob for blob in blobs if is_remote(blob)}
        # One alone has nothing to wait beside.
        self._due = set(places) if len(places) > 1 else set()
        self._answers = fetched(list(places.values()))
        self._ahead = zip(places, self._answers, strict=False)

    def read(self, blob: Blob) -> bytes:
        """A blob's bytes.

        Raises:
            BlobError: what its own `read` raises.
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
        """Lets go of what is on its way."""
        self._answers.close()


def fetched(blobs: Sequence[Blob]) -> Generator[Read, None, None]:
    """The bytes of blobs in buckets, in order, or why they cannot be had."""
    return ahead(_read, blobs, size=attrgetter("size"), most_bytes=AHEAD_BYTES)


def _read(blob: Blob) -> Read:
    try:
        return blob.read()
    except BlobError as error:
        return error
