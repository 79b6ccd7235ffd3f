"""Read shards in a bucket by ranges: a request fetches one sample or several neighbors; many requests run at once."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import NamedTuple

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.shards import Reads, Span, changed, too_short
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.prefetch import Threads, prefetch

AT_ONCE = 32
"""Most concurrent requests of a source: one connection has about 50 MB/s after a latency of 20 ms."""

BLOCKS_AHEAD = 8
"""Most concurrent requests of a sequential read, and most blocks waiting in memory."""


class StoredShard(NamedTuple):
    """A shard in a bucket.

    Attributes:
        place: its URI.
        etag: the store's ETag; empty if unknown.
    """

    place: BucketPath
    etag: str


class ShardRanges:
    """The shards of a data set in a bucket. Pickles without its threads; not for forked processes.

    Args:
        shards: in order; reading one with another ETag is an error.
    """

    def __init__(self, shards: Sequence[StoredShard]) -> None:
        self._shards = tuple(shards)
        self._threads: dict[int, Threads] = {}

    def __getstate__(self) -> tuple[StoredShard, ...]:
        return self._shards

    def __setstate__(self, shards: tuple[StoredShard, ...]) -> None:
        self.__init__(shards)  # type: ignore[misc]

    def path(self, shard: int) -> BucketPath:
        """Return a shard's URI."""
        return self._shards[shard].place

    def read_batch(self, spans: Iterable[Span]) -> Generator[Reads, None, None]:
        """See `Shards`; all requests are sent at once."""
        wanted = coalesce_ranges(list(spans))
        if len(wanted) == 1:
            only = self._fetched(wanted[0].span)
            yield from (only for _ in wanted[0].rows)
            return
        coming: dict[int, Future[Reads]] = {}
        try:
            for span, rows in wanted:
                coming.update(dict.fromkeys(rows, self._pool().submit(self._fetched, span)))
            for row in range(len(coming)):
                yield coming.pop(row).result()
        finally:
            for future in coming.values():
                future.cancel()

    def read_sequential(self, spans: Iterable[Span]) -> Generator[Reads, None, None]:
        """See `Shards`; blocks are requested ahead."""

        def fetched(block: tuple[Span, int]) -> tuple[Reads, int]:
            return self._fetched(block[0]), block[1]

        for read, count in prefetch(fetched, in_order(spans), BLOCKS_AHEAD):
            yield from (read for _ in range(count))

    def check_path(self, shard: int) -> None:
        """See `Shards`: only this class opens objects."""

    def _pool(self) -> Threads:
        """Return the threads of this process, started with the first request."""
        # No lock: a process forked while one is held would wait forever; and a fork has no threads.
        process = os.getpid()
        return self._threads.get(process) or self._threads.setdefault(process, Threads(AT_ONCE))

    def _fetched(self, span: Span) -> Reads:
        place, etag = self._shards[span.shard]
        size = span.end - span.start
        try:
            data, now = place.read_marked(span.start, size)
        except FileNotFoundError:
            raise ShardsError(f"{place} was removed after it was opened", "See lpff-shards verify") from None
        except OSError as error:
            raise unreadable(place, error) from None
        if etag and now and now != etag:
            raise changed(place)
        if len(data) < size:
            raise too_short(place, size - len(data))
        return _Fetched(span, data)


class _Fetched:
    """A span of a shard in memory."""

    def __init__(self, span: Span, data: memoryview) -> None:
        self._start = span.start
        self._data = data

    def read(self, shard: int, at: int, size: int) -> bytes:  # noqa: ARG002
        """See `Reads`."""
        return bytes(self._data[at - self._start : at - self._start + size])

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:  # noqa: ARG002
        """See `Reads`; the span must be inside the block."""
        at -= self._start
        for part in parts:
            part[:] = self._data[at : at + len(part)]
            at += len(part)

    def check(self, shard: int) -> None:
        """See `Reads`: the ETag was compared when the bytes were fetched."""


def unreadable(place: BucketPath, error: OSError) -> ShardsError:
    """Return the error for an object that cannot be read."""
    return ShardsError(f"{place} cannot be read: {error.strerror}", "Check the bucket, its credentials and the network")


BLOCK = 4 << 20
"""Most bytes of a request for several samples: a larger one is no faster than two at once."""


class Request(NamedTuple):
    """A span of a shard, and the requested samples inside it."""

    span: Span
    rows: tuple[int, ...]


def in_order(spans: Iterable[Span], most: int = BLOCK) -> Iterator[tuple[Span, int]]:
    """Join consecutive spans; yield each joined span with the number of its parts."""
    coming = iter(spans)
    block, count = next(coming, None), 1
    for span in coming:
        wider = _wider(block, span, most) if block else None
        if block and not wider:
            yield block, count
            count = 0
        block, count = wider or span, count + 1
    if block:
        yield block, count


def coalesce_ranges(spans: Sequence[Span], most: int = BLOCK) -> list[Request]:
    """Join spans in any order to few requests, in the order of each request's first sample."""
    order = sorted(range(len(spans)), key=spans.__getitem__)
    rows = iter(order)
    requests = [
        Request(block, tuple(islice(rows, count))) for block, count in in_order((spans[row] for row in order), most)
    ]
    return sorted(requests, key=lambda request: min(request.rows))


def _wider(block: Span, span: Span, most: int) -> Span | None:
    """Return two spans as one; None if there is a gap between them or the result is too long."""
    end = max(block.end, span.end)
    joined = block.shard == span.shard and block.start <= span.start <= block.end
    fits = end == block.end or end - block.start <= most
    return Span(block.shard, block.start, end) if joined and fits else None
