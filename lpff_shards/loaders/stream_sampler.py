"""The samples that a rank reads in an epoch, shard after shard, as one row of numbers.

A row says what comes when, and which way round, before anything is read, so that a pipeline which reads by it goes on
anywhere at no cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.sampler import (
    Equal,
    coin_flips,
    refuse_below,
    refuse_no_bool,
    refuse_odd,
    refuse_odd_weights,
    scattered,
    shuffled,
    weighted,
)
from lpff_shards.loaders.shard_slices import Reader, pieces


class Row(NamedTuple):
    """Samples in the order in which a rank reads them.

    Attributes:
        indices: int64 [n], numbers of the samples.
        flips: bool [n], which of them are to be mirrored.
    """

    indices: NDArray[np.int64]
    flips: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """How a rank's rows are drawn from shards.

    Attributes:
        counts: samples of each shard.
        batch_size: of one rank.
        shuffle: shards come in a new order each epoch, and each sample less than so many places from where its shard
            has it; 0 keeps the shards' order.
        seed: of shuffling, mirroring and weighing.
        rank, world_size: which part of the epoch is drawn.
        equal: see `draws.Sampling`.
        mirror: flip each sample with probability 1/2, drawn anew in each epoch.
        weights: float [samples], see `draws.Sampling`.

    Raises:
        ShardsError: a value is out of range.
    """

    counts: Sequence[int]
    batch_size: int
    shuffle: int = 0
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    equal: Equal | None = None
    mirror: bool = False
    weights: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        refuse_odd(self.batch_size, self.seed, self.rank, self.world_size, self.equal)
        refuse_below("shuffle", self.shuffle, 0)
        refuse_no_bool("mirror", self.mirror)
        if self.weights is not None:
            refuse_odd_weights(self.weights, sum(self.counts))

    def row(self, epoch: int, start: int = 0) -> Row:
        """The rank's samples of an epoch.

        Args:
            epoch: from 0.
            start: batches of it that were read already; the row begins behind them.

        Raises:
            ShardsError: the epoch has fewer batches, or `equal="drop"` leaves nothing of it.
        """
        ids = self._ids(epoch)
        most = -(-len(ids) // self.batch_size)
        if not 0 <= start <= most:
            raise ShardsError(f"start {start!r} is out of range", f"It is from 0 to this rank's {most} batches")
        return self.of(ids[start * self.batch_size :], epoch)

    def of(self, ids: NDArray[np.int64], epoch: int) -> Row:
        """The samples that some numbers of an epoch stand for."""
        flips = coin_flips(ids, self.seed, epoch) if self.mirror else np.zeros(len(ids), np.bool_)
        return Row(ids % sum(self.counts), flips)

    def _ids(self, epoch: int) -> NDArray[np.int64]:
        stretch = self.stretch(epoch, Reader(self.rank, self.world_size))
        return stretch[scattered(len(stretch), self.shuffle, self.seed, epoch)]

    def stretch(self, epoch: int, reader: Reader) -> NDArray[np.int64]:
        """What a worker of the rank reads of an epoch, as its shards have it, int64 [n].

        The number of a sample's first copy is its own, and each further one has the number of samples more; see `of`.

        Raises:
            ShardsError: `equal="drop"` leaves nothing.
        """
        firsts = np.cumsum([0, *self.counts])
        samples = int(firsts[-1])
        ids, ends = np.arange(samples), firsts
        if self.weights is not None:
            drawn = weighted(self.weights, self.seed, epoch)
            # Copies have numbers of their own, so that each is mirrored or not by itself.
            ids = drawn + samples * (np.arange(samples) - np.searchsorted(drawn, drawn))
            ends = np.searchsorted(drawn, firsts)
        order = shuffled(len(self.counts), self.seed, epoch).tolist() if self.shuffle else range(len(self.counts))
        found = pieces(np.diff(ends).tolist(), order, self.batch_size, self.equal, reader)
        row = [ids[ends[p.shard] + p.start : ends[p.shard] + p.stop] for p in found]
        return np.concatenate(row) if row else ids[:0]
