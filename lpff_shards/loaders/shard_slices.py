"""Which stretches of which shards a worker reads, for pipelines that read shards from one end to the other.

An epoch is an order of shards, read as one long row of samples. Ranks take equal stretches of it and workers whole
batches of these, so that shards need not be as many as workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lpff_shards.loaders.sampler import Equal, equal_total


class Piece(NamedTuple):
    """A stretch of a shard: its samples from `start` to `stop`."""

    shard: int
    start: int
    stop: int


class Reader(NamedTuple):
    """Who reads: a worker of a rank."""

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1


def pieces(
    counts: Sequence[int], order: Sequence[int], batch_size: int, equal: Equal | None, reader: Reader
) -> list[Piece]:
    """The stretches that a worker reads in an epoch, in order.

    Args:
        counts: samples of each shard.
        order: the shards in the epoch's order.
        batch_size: of one rank.
        equal: see `draws.Sampling`; with `pad` and `drop` all workers' batches are full.

    Raises:
        ShardsError: `drop` leaves nothing.
    """
    start, stop = _stretch(sum(counts), batch_size, equal, reader)
    return list(_cut(counts, order, start, stop))


def batches(samples: int, batch_size: int, equal: Equal | None, reader: Reader) -> int:
    """How many batches a worker has in an epoch."""
    start, stop = _stretch(samples, batch_size, equal, reader)
    return -(-(stop - start) // batch_size)


def _stretch(samples: int, batch_size: int, equal: Equal | None, reader: Reader) -> tuple[int, int]:
    """Where a worker's samples begin and end in the epoch's row, which goes on from its start where it is padded."""
    total = equal_total(samples, batch_size, reader.world_size, equal)
    start, stop = (total * rank // reader.world_size for rank in (reader.rank, reader.rank + 1))
    share, more = divmod(-(-(stop - start) // batch_size), reader.workers)
    first = reader.worker * share + min(reader.worker, more)
    last = first + share + (reader.worker < more)
    return min(start + first * batch_size, stop), min(start + last * batch_size, stop)


def _cut(counts: Sequence[int], order: Sequence[int], start: int, stop: int) -> Iterator[Piece]:
    samples = sum(counts)
    # A padded row may go round more than once, where there are fewer samples than a global batch.
    at = start // samples * samples
    while at < stop:
        for shard in order:
            low, high = max(start - at, 0), min(stop - at, counts[shard])
            if low < high:
                yield Piece(shard, low, high)
            at += counts[shard]
