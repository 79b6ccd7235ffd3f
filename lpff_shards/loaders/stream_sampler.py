"""A rank's order of samples, shard after shard, and the slices of shards that each worker reads.

An epoch is an order of shards, read as one sequence of samples. Ranks read equal slices of it, and workers whole
batches of these, so the number of shards need not match the workers. The order is computed before reading starts, so
a pipeline resumes anywhere without reading skipped samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.sampler import (
    Equal,
    SampleOrder,
    Sampler,
    coin_flips,
    equal_total,
    refuse_below,
    scattered,
    shuffled,
    weighted,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamSampler(Sampler):
    """A rank's samples of an epoch, shard after shard.

    Shards have a new order in each epoch, and each sample moves by less than `shuffle` places from its shard's order.
    """

    shuffle: int = 0

    def __post_init__(self) -> None:
        Sampler.__post_init__(self)
        refuse_below("shuffle", self.shuffle, 0)

    def row(self, epoch: int, start: int = 0) -> SampleOrder:
        """Return the rank's samples of an epoch.

        Args:
            epoch: from 0.
            start: number of batches to skip, because they were read before.

        Raises:
            ShardsError: the epoch has fewer batches, or `equal="drop"` leaves no batch.
        """
        ids = self._ids(epoch)
        most = -(-len(ids) // self.batch_size)
        if not 0 <= start <= most:
            raise ShardsError(f"start {start!r} is out of range", f"It is from 0 to this rank's {most} batches")
        return self.of(ids[start * self.batch_size :], epoch)

    def of(self, ids: NDArray[np.int64], epoch: int) -> SampleOrder:
        """Return the samples of some numbers of an epoch, see `stretch`."""
        flips = coin_flips(ids, self.seed, epoch) if self.mirror else np.zeros(len(ids), np.bool_)
        return SampleOrder(ids % self.samples, flips)

    def _ids(self, epoch: int) -> NDArray[np.int64]:
        stretch = self.stretch(epoch, Reader(self.rank, self.world_size))
        return stretch[scattered(len(stretch), self.shuffle, self.seed, epoch)]

    def stretch(self, epoch: int, reader: Reader) -> NDArray[np.int64]:
        """Return the numbers that a worker of the rank reads in an epoch, in its shards' order, int64 [n].

        A sample's first copy has the sample's number. For each further copy, the number of samples is added; see `of`.

        Raises:
            ShardsError: `equal="drop"` leaves no batch.
        """
        firsts = np.cumsum([0, *self.counts])
        samples = int(firsts[-1])
        ids, ends = np.arange(samples), firsts
        if self.weights is not None:
            drawn = weighted(self.weights, self.seed, epoch)
            # Copies have different numbers, so each is mirrored independently.
            ids = drawn + samples * (np.arange(samples) - np.searchsorted(drawn, drawn))
            ends = np.searchsorted(drawn, firsts)
        order = shuffled(len(self.counts), self.seed, epoch).tolist() if self.shuffle else range(len(self.counts))
        slices = shard_slices(np.diff(ends).tolist(), order, self.batch_size, self.equal, reader)
        row = [ids[ends[p.shard] + p.start : ends[p.shard] + p.stop] for p in slices]
        return np.concatenate(row) if row else ids[:0]


class ShardSlice(NamedTuple):
    """The samples of a shard from `start` to `stop`, end excluded."""

    shard: int
    start: int
    stop: int


class Reader(NamedTuple):
    """A worker of a rank."""

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1


def shard_slices(
    counts: Sequence[int], order: Sequence[int], batch_size: int, equal: Equal | None, reader: Reader
) -> list[ShardSlice]:
    """Return the slices that a worker reads in an epoch, in order.

    Args:
        counts: samples of each shard.
        order: the shards in the epoch's order.
        batch_size: of one rank.
        equal: see `sampler.EpochSampler`; with `pad` and `drop` all workers' batches are full.

    Raises:
        ShardsError: `drop` leaves no batch.
    """
    start, stop = _stretch(sum(counts), batch_size, equal, reader)
    return list(_cut(counts, order, start, stop))


def batches(samples: int, batch_size: int, equal: Equal | None, reader: Reader) -> int:
    """Return the number of batches of a worker in an epoch."""
    start, stop = _stretch(samples, batch_size, equal, reader)
    return -(-(stop - start) // batch_size)


def _stretch(samples: int, batch_size: int, equal: Equal | None, reader: Reader) -> tuple[int, int]:
    """Return start and end of a worker's samples in the epoch's sequence; padding repeats it from its start."""
    total = equal_total(samples, batch_size, reader.world_size, equal)
    start, stop = (total * rank // reader.world_size for rank in (reader.rank, reader.rank + 1))
    share, more = divmod(-(-(stop - start) // batch_size), reader.workers)
    first = reader.worker * share + min(reader.worker, more)
    last = first + share + (reader.worker < more)
    return min(start + first * batch_size, stop), min(start + last * batch_size, stop)


def _cut(counts: Sequence[int], order: Sequence[int], start: int, stop: int) -> Iterator[ShardSlice]:
    samples = sum(counts)
    # With fewer samples than a global batch, padding may repeat the sequence more than once.
    at = start // samples * samples
    while at < stop:
        for shard in order:
            low, high = max(start - at, 0), min(stop - at, counts[shard])
            if low < high:
                yield ShardSlice(shard, low, high)
            at += counts[shard]
