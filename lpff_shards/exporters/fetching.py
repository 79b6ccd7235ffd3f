"""The bytes of a shard's pictures: those in buckets are asked for before their turn, others are read in it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from operator import attrgetter

from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import BlobError
from lpff_shards.sources.io.objects import is_remote
from lpff_shards.storage.prefetch import ahead

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
