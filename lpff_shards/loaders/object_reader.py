"""Read shards in a bucket by ranges: a request fetches one sample or several neighbors; many requests run at once."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Offsets
from lpff_shards.formats.registry import index_names
from lpff_shards.loaders.files import Span, changed, sample_offsets, too_short, unreadable
from lpff_shards.manifest import Shard
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.prefetch import Threads, prefetch

AT_ONCE = 32
"""Most concurrent requests of a source: one connection has about 50 MB/s after a latency of 20 ms."""

BLOCKS_AHEAD = 8
"""Most concurrent requests of a sequential read, and most blocks waiting in memory."""

BLOCK = 4 << 20
"""Most bytes of a request for several samples: a larger one is no faster than two at once."""


class ShardRanges:
    """The shards of a data set in a bucket, with the store's ETags, which are empty if unknown.

    Pickles without its threads; not for forked processes. Reading raises ShardsError, also for another ETag.
    """

    def __init__(self, paths: Sequence[BucketPath], etags: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._etags = tuple(etags)
        self._threads: dict[int, Threads] = {}

    def __reduce__(self) -> tuple[type[ShardRanges], tuple[Sequence[BucketPath], Sequence[str]]]:
        return ShardRanges, (self.paths, self._etags)

    def read_batch(self, spans: Iterable[Span]) -> Generator[FetchedSpan, None, None]:
        """Yield a reader for each sample of a batch; all requests are sent at once."""
        # No lock: a process forked while one is held would wait forever; and a fork has no threads.
        threads = self._threads.get(os.getpid()) or self._threads.setdefault(os.getpid(), Threads(AT_ONCE))
        coming: dict[int, Future[FetchedSpan]] = {}
        try:
            for span, rows in coalesce_ranges(list(spans)):
                coming.update(dict.fromkeys(rows, threads.submit(self._fetched, span)))
            for row in range(len(coming)):
                yield coming.pop(row).result()
        finally:
            for future in coming.values():
                future.cancel()

    def read_sequential(self, spans: Iterable[Span]) -> Generator[FetchedSpan, None, None]:
        """Yield the same for any number of samples; few blocks are requested ahead."""

        def fetched(block: tuple[Span, int]) -> tuple[FetchedSpan, int]:
            return self._fetched(block[0]), block[1]

        for read, count in prefetch(fetched, in_order(spans), BLOCKS_AHEAD):
            yield from (read for _ in range(count))

    def _fetched(self, span: Span) -> FetchedSpan:
        path, etag, size = self.paths[span.shard], self._etags[span.shard], span.end - span.start
        try:
            data, now = path.read_marked(span.start, size)
        except FileNotFoundError:
            raise ShardsError(f"{path} was removed after it was opened", "See lpff-shards verify") from None
        except OSError as error:
            raise unreadable(path, error) from None
        if etag and now and now != etag:
            raise changed(path)
        if len(data) < size:
            raise too_short(path, size - len(data))
        return FetchedSpan(span.start, data)


class FetchedSpan:
    """A span of a shard in memory, with the methods of `ShardFiles`."""

    def __init__(self, start: int, data: memoryview) -> None:
        self._start = start
        self._data = data

    def read(self, shard: int, at: int, size: int) -> bytes:  # noqa: ARG002
        return bytes(self._data[at - self._start : at - self._start + size])

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:  # noqa: ARG002
        at -= self._start
        for part in parts:
            part[:] = self._data[at : at + len(part)]
            at += len(part)

    def check(self, shard: int) -> None:
        """Do nothing: the ETag was compared when the bytes were fetched."""


def in_order(spans: Iterable[Span], most: int = BLOCK) -> Iterator[tuple[Span, int]]:
    """Join consecutive spans of a shard up to `most` bytes; yield each joined span with the number of its parts."""
    block, count = None, 0
    for span in spans:
        if (
            block
            and block.shard == span.shard
            and block.start <= span.start <= block.end
            and (span.end <= block.end or span.end - block.start <= most)
        ):
            block, count = Span(block.shard, block.start, max(block.end, span.end)), count + 1
        else:
            if block:
                yield block, count
            block, count = span, 1
    if block:
        yield block, count


def coalesce_ranges(spans: Sequence[Span], most: int = BLOCK) -> list[tuple[Span, tuple[int, ...]]]:
    """Join spans in any order to few requests, in the order of their first samples; return each with its samples."""
    order = sorted(range(len(spans)), key=spans.__getitem__)
    rows = iter(order)
    blocks = in_order((spans[row] for row in order), most)
    return sorted(((block, tuple(islice(rows, count))) for block, count in blocks), key=lambda request: min(request[1]))


def open_objects(root: BucketPath, shards: Sequence[Shard]) -> tuple[ShardRanges, list[Offsets]]:
    """Return a reader of shards in a bucket, and the offsets of each shard's samples.

    Raise ShardsError if a shard or its index file is missing, or they differ from the manifest or from one another.
    """
    try:
        listed = {one.name: one for one in root.listing()[0]}
    except OSError as error:
        if not isinstance(error, PermissionError) and "AccessDenied" not in str(error.strerror):
            raise unreadable(root, error) from None
        listed = None

    def opened(shard: Shard) -> tuple[str, Offsets]:
        path, index = root / shard.file, root / index_names(shard.file)[-1]
        reading, hint = path, "Run lpff-shards verify"
        try:
            if listed is None:
                size, etag = shard.bytes, path.read_marked(0, 1)[1]
            else:
                size, etag = listed[shard.file].size, listed[shard.file].etag
            # Reading headers instead would take minutes per shard, one request each.
            reading, hint = index, f"Write it: lpff-shards index {root}"
            return etag, sample_offsets(path, shard, size, index.read_bytes())
        except (KeyError, FileNotFoundError):
            raise ShardsError(f"{reading} is missing", hint) from None
        except OSError as error:
            raise unreadable(reading, error) from None

    etags, offsets = zip(*prefetch(opened, shards, AT_ONCE), strict=True)
    return ShardRanges([root / shard.file for shard in shards], etags), list(offsets)
