"""How even the pose mix of shards is, beside what chance gives. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.planning.poses import BIN_DEGREES

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
LARGE_YAW = 45.0
"""Degrees of yaw from which a pose is called large."""
DEALS = 8


def pose_bins(yaw: Floats, pitch: Floats) -> Counts:
    """The bin of each pose in degrees, 10 degrees by 10, int64 [n]."""
    column = np.floor(yaw / BIN_DEGREES).astype(np.int64)
    return column * int(360 / BIN_DEGREES) + np.floor(pitch / BIN_DEGREES).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Evenness:
    """How far the poses of each shard are from those of its whole split; columns over shards.

    Attributes:
        shards: int64 [s], numbers of the shards that have samples with cameras, in splits of several shards.
        divergence: float64 [s], Jensen-Shannon divergence in bits over pose bins, 0 for equal mixes to 1 for disjoint.
        chance: float64 [s], what dealing the split's samples out at random gives.
        large: float64 [s], share of samples whose yaw is beyond `LARGE_YAW`; whole: of the shard's split.
    """

    shards: Counts
    divergence: Floats
    chance: Floats
    large: Floats
    whole: Floats


def evenness(splits: Counts, shard: Counts, yaw: Floats, pitch: Floats) -> Evenness:
    """How even the pose mix of the shards is.

    Args:
        splits: int64 [shards], which split each is of.
        shard: int64 [n], of each sample with a camera; yaw, pitch: float64 [n], degrees.
    """
    places, bins = np.unique(pose_bins(yaw, pitch), return_inverse=True)
    mix = _Mix(splits, max(len(places), 1))
    bins = bins.reshape(-1)
    table = mix.table(shard, bins)
    large = np.bincount(shard, np.abs(yaw) > LARGE_YAW, minlength=len(splits))
    samples = table.sum(axis=1)
    several = np.bincount(splits)[splits] > 1
    shards = np.flatnonzero((samples > 0) & several)
    return Evenness(
        shards,
        mix.divergence(table)[shards],
        mix.by_chance(shard, bins)[shards],
        (large / np.maximum(samples, 1))[shards],
        (mix.of_split(large[:, None])[:, 0] / np.maximum(mix.of_split(table).sum(axis=1), 1))[shards],
    )


@dataclass(frozen=True, eq=False)
class _Mix:
    """Shards of splits (int64 [s], which split) and their samples over `width` pose bins."""

    splits: Counts
    width: int

    def table(self, shard: Counts, bins: Counts) -> Counts:
        """Samples by shard and bin, int64 [s, width]."""
        count = len(self.splits)
        return np.bincount(shard * self.width + bins, minlength=count * self.width).reshape(count, self.width)

    def of_split(self, table: NDArray[Any]) -> NDArray[Any]:
        """The sums over each shard's split, [s, ...]."""
        sums = np.zeros((int(self.splits.max(initial=0)) + 1, table.shape[1]), table.dtype)
        np.add.at(sums, self.splits, table)
        found: NDArray[Any] = sums[self.splits]
        return found

    def divergence(self, table: Counts) -> Floats:
        """Of each shard's bins from its split's."""
        return divergence(_shares(table), _shares(self.of_split(table)))

    def by_chance(self, shard: Counts, bins: Counts) -> Floats:
        """What dealing the samples of each split out at random gives, on average over a few deals."""
        draw = np.random.default_rng(0)
        found = np.zeros(len(self.splits), np.float64)
        own = [np.flatnonzero(self.splits[shard] == split) for split in np.unique(self.splits).tolist()]
        for _ in range(DEALS):
            dealt = np.empty_like(shard)
            for rows in own:
                dealt[rows] = draw.permutation(shard[rows])
            found += self.divergence(self.table(dealt, bins)) / DEALS
        # Shards of one size have the same chances, and more of them tell these better.
        samples = np.bincount(shard, minlength=len(self.splits))
        _, alike = np.unique(np.stack([self.splits, samples]), axis=1, return_inverse=True)
        alike = alike.reshape(-1)
        mean: Floats = (np.bincount(alike, found) / np.bincount(alike))[alike]
        return mean


def divergence(p: Floats, q: Floats) -> Floats:
    """Jensen-Shannon divergence in bits of distributions in rows, float64 [s, bins] each: 0 to 1, symmetric."""
    middle = (p + q) / 2
    found: Floats = np.clip((_kullback(p, middle) + _kullback(q, middle)) / 2, 0.0, 1.0)
    return found


def _kullback(p: Floats, q: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / q), 0.0)
    found: Floats = terms.sum(axis=1)
    return found


def _shares(counts: Counts) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares
