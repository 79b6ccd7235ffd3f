"""The samples of each batch of each rank: arithmetic on numbers, the same for every framework.

`EpochSampler` cuts an order of all samples into global batches, and each rank reads its part of each one: with the same
global batch size, any number of ranks reads the same samples at each step. `StreamSampler` orders the shards, and each
rank reads an equal part of their sequence. Orders are computed before reading starts, so a loader resumes anywhere.
Other numbers of ranks and other batch sizes divide what earlier ones left of an epoch, see `Leg`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.text import did_you_mean

Equal = Literal["pad", "drop"]
EQUAL = ("pad", "drop")

_SHUFFLE, _FLIP, _WEIGH, _SCATTER = 1, 2, 3, 4
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Leg(NamedTuple):
    """A part of an epoch that was read: `batches` batches of `batch_size` samples by each of `world_size` ranks."""

    world_size: int
    batch_size: int
    batches: int


Legs = tuple[Leg, ...]
"""How an epoch was read so far, from its start; the numbers of ranks and the batch sizes differ."""


class SampleOrder(NamedTuple):
    """Numbers of samples in the order of reading, int64 [n], and which of them to mirror, bool [n]."""

    indices: NDArray[np.int64]
    flips: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampler(ABC):
    """The samples of an epoch that a rank reads; its length is the number of batches.

    Attributes: see `options.LoaderOptions`, and
        counts: samples of each shard.
        shuffle: False and 0 keep the shards' order.
        equal: `pad` repeats samples from the epoch's start, `drop` leaves out those at its end.
        weights: float [samples], not negative.

    Raises:
        ShardsError: a value is out of range, or no batch remains.
    """

    counts: Sequence[int]
    batch_size: int
    shuffle: int = True
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    equal: Equal | None = None
    mirror: bool = False
    weights: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        refuse_below("batch_size", self.batch_size, 1)
        refuse_odd_rank(self.rank, self.world_size)
        refuse_below("seed", self.seed, 0)
        if self.equal not in (None, *EQUAL):
            hint = f"{did_you_mean(str(self.equal), EQUAL)}It is one of: None, {', '.join(map(repr, EQUAL))}"
            raise ShardsError(f"equal {self.equal!r} is not known", hint)
        refuse_no_bool("mirror", self.mirror)
        if self.weights is not None:
            _refuse_odd_weights(self.weights, self.samples)
        if self.total(self.samples, self.batch_size * self.world_size) == 0:
            raise ShardsError(
                f"equal='drop' leaves no full batch: {self.samples} samples, "
                f"{self.world_size} x {self.batch_size} per batch",
                "Use a smaller batch_size, or equal='pad'",
            )

    @property
    def samples(self) -> int:
        return sum(self.counts)

    def __len__(self) -> int:
        return self.batches(0)

    @abstractmethod
    def batches(self, epoch: int, before: Legs = ()) -> int:
        """Return the number of batches of this rank in what `before` left of an epoch."""

    @abstractmethod
    def draw(self, epoch: int, number: int, before: Legs = ()) -> SampleOrder:
        """Return the samples of a batch of this rank in what `before` left of an epoch."""

    def total(self, count: int, step: int) -> int:
        """Return how many of `count` samples all ranks read together in batches of `step`."""
        if self.equal is None:
            return count
        return (count // step if self.equal == "drop" else -(-count // step)) * step

    def flips(self, numbers: NDArray[np.int64], epoch: int) -> NDArray[np.bool_]:
        return coin_flips(numbers, self.seed, epoch) if self.mirror else np.zeros(len(numbers), np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EpochSampler(Sampler):
    """A rank's batches of an epoch, fully shuffled or in the order of the shards."""

    shuffle: bool = True

    def __post_init__(self) -> None:
        Sampler.__post_init__(self)
        refuse_no_bool("shuffle", self.shuffle)

    def batches(self, epoch: int, before: Legs = ()) -> int:  # noqa: ARG002
        step = self.batch_size * self.world_size
        full, rest = divmod(self.total(self.samples - self._read(before), step), step)
        start, end = _part(rest, self.rank, self.world_size)
        return full + (start < end)

    def draw(self, epoch: int, number: int, before: Legs = ()) -> SampleOrder:
        _refuse_no_batch(number, self.batches(epoch, before))
        read, step = self._read(before), self.batch_size * self.world_size
        rest = self.total(self.samples - read, step) - number * step
        start, end = _part(min(step, rest), self.rank, self.world_size)
        positions = np.arange(start, end) + read + number * step
        order = _order(self, epoch)
        return SampleOrder(order[positions % len(order)], self.flips(positions, epoch))

    def _read(self, before: Legs) -> int:
        return min(self.samples, sum(leg.world_size * leg.batch_size * leg.batches for leg in before))


@lru_cache(maxsize=2)
def _order(sampling: EpochSampler, epoch: int) -> NDArray[np.int64]:
    """Return the samples of an epoch in order, int64 [samples]."""
    count = sampling.samples
    order = shuffled(count, sampling.seed, epoch) if sampling.shuffle else np.arange(count)
    return order if sampling.weights is None else weighted(sampling.weights, sampling.seed, epoch)[order]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamSampler(Sampler):
    """A rank's samples of an epoch, shard after shard.

    Shards have a new order in each epoch, and each sample moves by less than `shuffle` places from its shard's order.
    """

    shuffle: int = 0

    def __post_init__(self) -> None:
        Sampler.__post_init__(self)
        refuse_below("shuffle", self.shuffle, 0)

    def batches(self, epoch: int, before: Legs = ()) -> int:
        if before:
            return -(-len(_row(self, epoch, before)) // self.batch_size)
        # Without the row: a loader's length is asked for before any epoch.
        start, stop = _part(self.total(self.samples, self.batch_size * self.world_size), self.rank, self.world_size)
        return -(-(stop - start) // self.batch_size)

    def draw(self, epoch: int, number: int, before: Legs = ()) -> SampleOrder:
        _refuse_no_batch(number, self.batches(epoch, before))
        ids = _row(self, epoch, before)[number * self.batch_size :][: self.batch_size]
        return SampleOrder(ids % self.samples, self.flips(ids, epoch))

    def sequence(self, epoch: int) -> NDArray[np.int64]:
        """Return the numbers of an epoch's samples, shard after shard, int64 [samples].

        A sample's first copy has the sample's number. For each further copy, the number of samples is added: copies are
        mirrored independently.
        """
        ends = np.cumsum([0, *self.counts])
        drawn = None if self.weights is None else weighted(self.weights, self.seed, epoch)
        if drawn is not None:
            ends = np.searchsorted(drawn, ends)
        count = len(self.counts)
        order = shuffled(count, self.seed, epoch) if self.shuffle else np.arange(count)
        ids: NDArray[np.int64] = np.concatenate([np.arange(*ends[shard : shard + 2]) for shard in order])
        if drawn is not None:
            ids = drawn[ids] + self.samples * (ids - np.searchsorted(drawn, drawn[ids]))
        return ids

    def places(self, count: int, epoch: int, rank: int, leg: Leg) -> NDArray[np.int64]:
        """Return the places that a rank reads in a sequence of `count` samples; padding repeats it from its start."""
        start, stop = _part(self.total(count, leg.batch_size * leg.world_size), rank, leg.world_size)
        return (start + scattered(stop - start, self.shuffle, self.seed, epoch)) % max(1, count)


@lru_cache(maxsize=2)
def _row(sampler: StreamSampler, epoch: int, before: Legs) -> NDArray[np.int64]:
    """Return the numbers that a rank reads in what `before` left of an epoch, in order."""
    ids = sampler.sequence(epoch)
    for leg in before:
        left = np.ones(len(ids), np.bool_)
        for rank in range(leg.world_size):
            left[sampler.places(len(ids), epoch, rank, leg)[: leg.batch_size * leg.batches]] = False
        ids = ids[left]
    own = Leg(sampler.world_size, sampler.batch_size, 0)
    return ids[sampler.places(len(ids), epoch, sampler.rank, own)]


def _part(count: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return start and end of a rank's part of some samples; sizes of parts differ by at most one."""
    return rank * count // world_size, (rank + 1) * count // world_size


def weighted(weights: NDArray[np.floating], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return numbers of samples in proportion to weights, int64 [samples], ascending.

    The number of copies of a sample is its exact share, rounded up or down at random in each epoch.
    """
    # Equal steps along the concatenated weights.
    count, ends = len(weights), np.cumsum(np.asarray(weights, np.float64))
    offset = int(_hashes(np.zeros(1, np.uint64), seed, epoch, _WEIGH)[0] >> np.uint64(11)) / 2**53
    points = (np.arange(count) + offset) * (ends[-1] / count)
    # Rounding may move the last point past the last weight that is not zero.
    drawn: NDArray[np.int64] = np.minimum(np.searchsorted(ends, points, side="right"), np.searchsorted(ends, ends[-1]))
    return drawn


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a random order of `count` items, int64 [count], the same for equal seeds and epochs on every machine."""
    return np.argsort(_hashes(np.arange(count, dtype=np.uint64), seed, epoch, _SHUFFLE), kind="stable")


def scattered(count: int, window: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return an order of `count` items in which each moves by less than `window` places, int64 [count].

    It is the same for equal seeds and epochs on every machine; windows 0 and 1 keep the order.
    """
    if window < 2:
        return np.arange(count)
    jumps = _hashes(np.arange(count, dtype=np.uint64), seed, epoch, _SCATTER) % np.uint64(window)
    return np.argsort(np.arange(count) + jumps.astype(np.int64), kind="stable")


def coin_flips(numbers: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.bool_]:
    """Return a random bool for each number, [n], with probability 1/2 and chosen again in each epoch."""
    return (_hashes(numbers.astype(np.uint64), seed, epoch, _FLIP) >> np.uint64(63)).astype(np.bool_)


def _refuse_no_batch(number: int, batches: int) -> None:
    if not 0 <= number < batches:
        raise IndexError(f"batch {number} of {batches}")


def refuse_odd_rank(rank: int, world_size: int) -> None:
    """Raise ShardsError for a rank outside 0 to `world_size` - 1, or numbers that are not whole."""
    refuse_below("world_size", world_size, 1)
    if not _is_whole(rank) or not 0 <= rank < world_size:
        hint = f"It is from 0 to world_size - 1, which is {world_size - 1}"
        raise ShardsError(f"rank {rank!r} is out of range", hint)


def refuse_below(name: str, value: int, least: int) -> None:
    """Raise ShardsError for a value that is not a whole number of at least `least`."""
    if not _is_whole(value) or not least <= value < 2**63:
        raise ShardsError(f"{name} {value!r} is out of range", f"It is a whole number from {least}")


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def refuse_no_bool(name: str, value: bool) -> None:
    """Raise ShardsError for a value that is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ShardsError(f"{name} {value!r} is not known", "It is True or False")


def _refuse_odd_weights(weights: NDArray[np.floating], samples: int) -> None:
    good = weights.shape == (samples,) and (weights >= 0).all() and weights.any()
    # Their sum must be finite too.
    if not (good and weights.max() < np.finfo(np.float64).max / samples):
        raise ShardsError(
            f"weights of shape {weights.shape} are not valid",
            f"They are {samples} finite numbers, none negative, not all zero",
        )


def _hashes(numbers: NDArray[np.uint64], seed: int, epoch: int, purpose: int) -> NDArray[np.uint64]:
    """Return 64 well-mixed bits for each number, by the finalizer of SplitMix64 (Steele, Lea, Flood 2014)."""
    salt = _mixed(_mixed(np.array([seed], np.uint64) * _GOLDEN + np.uint64(epoch)) + np.uint64(purpose))
    return _mixed(numbers * _GOLDEN + salt)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
