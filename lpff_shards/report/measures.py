"""The arithmetic of a report: how even poses are, before and after rebalancing, in all and in each shard. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.mixing.poses import BIN_DEGREES, entropy
from lpff_shards.report.facts import Counts, Facts, Floats

LARGE_YAW = 45.0
"""Degrees of yaw from which a pose is called large."""
DEALS = 8


@dataclass(frozen=True, slots=True)
class Spread:
    """How training samples spread over the poses.

    Attributes:
        count: samples, or pictures, or the sum of their weights.
        effective: Kish's effective sample size, of the pictures by how often they count.
        entropy: bits, over bins of 10 degrees of yaw by 10 of pitch, of samples with known cameras.
        large: share of these whose yaw is beyond `LARGE_YAW`.
    """

    count: float
    effective: float
    entropy: float
    large: float


def pose_bins(yaw: Floats, pitch: Floats) -> Counts:
    """The bin of each pose in degrees, 10 degrees by 10, int64 [n]."""
    column = np.floor(yaw / BIN_DEGREES).astype(np.int64)
    return column * int(360 / BIN_DEGREES) + np.floor(pitch / BIN_DEGREES).astype(np.int64)


def effective_size(replica: Counts, counted: Floats) -> float:
    """Kish's effective number of pictures, (sum c)^2 / sum c^2, where c is how often a picture counts in all.

    Args:
        replica: of each sample, numbered from 0 within its picture; counted: how often the sample itself counts.

    A picture of c copies has replicas 0 to c - 1, whose 2 * replica + 1 add up to c^2.
    """
    total = float((np.square(counted) * (2 * replica + 1)).sum())
    return float(counted.sum()) ** 2 / total if total else 0.0


def after(facts: Facts) -> Spread:
    """The training samples as they count."""
    train = facts.training
    counted = facts.counted[train]
    seen = train & facts.has_camera
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    return _spread(counted.sum(), effective_size(facts.replica[train], counted), yaw, pitch, facts.counted[seen])


def before(facts: Facts) -> Spread | None:
    """The training pictures before rebalancing, their poses rounded to whole degrees; None where not known."""
    if facts.pool is None:
        return None
    pool, pictures = facts.pool, facts.pool.pictures.astype(np.float64)
    total = float(pictures.sum())
    return _spread(total, total, pool.yaw.astype(np.float64), pool.pitch.astype(np.float64), pictures)


def _spread(count: float, effective: float, yaw: Floats, pitch: Floats, counted: Floats) -> Spread:
    total = float(counted.sum())
    if not total:
        return Spread(float(count), effective, 0.0, 0.0)
    large = float(counted[np.abs(yaw) > LARGE_YAW].sum()) / total
    return Spread(float(count), effective, entropy(pose_bins(yaw, pitch), counted), large)


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


def evenness(facts: Facts) -> Evenness:
    """How even the pose mix of the shards is."""
    splits = np.array([facts.split.names.index(shard.split) for shard in facts.shards], np.int64)
    seen = facts.has_camera
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    places, bins = np.unique(pose_bins(yaw, pitch), return_inverse=True)
    mix = _Mix(splits, max(len(places), 1))
    shard, bins = facts.shard[seen], bins.reshape(-1)
    table = mix.table(shard, bins)
    large = np.bincount(shard, np.abs(yaw) > LARGE_YAW, minlength=len(splits))
    samples = table.sum(axis=1)
    several = np.bincount(splits, minlength=len(facts.split.names))[splits] > 1
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
        whose = self.splits[shard]
        # Equal splits stand together in both orders, the second of which is a random one.
        ordered = np.argsort(whose, kind="stable")
        for _ in range(DEALS):
            dealt = np.empty_like(shard)
            dealt[np.lexsort((draw.random(len(shard)), whose))] = shard[ordered]
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
