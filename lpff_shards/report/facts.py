"""Facts: the columns of a written or planned data set for a report, and measures of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lpff_shards.manifest import Shard
from lpff_shards.options.mix import TRAIN
from lpff_shards.planning.rebalance import Balances, angle_bins, entropy
from lpff_shards.schemas.record import LeftOut, Tombstone
from lpff_shards.sidecars.sample_index.tables import PoseHistogram

Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

LARGE_YAW = 45.0
"""Degrees of yaw beyond which a pose is called large."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A label of each sample: `codes` int32 [n] are indices into `names`."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    def counts(self, chosen: Bools | None = None) -> Counts:
        """Count samples by label, int64 [names]: all samples or the chosen ones (bool [n])."""
        codes = self.codes if chosen is None else self.codes[chosen]
        return np.bincount(codes, minlength=len(self.names)).astype(np.int64)

    def are(self, name: str) -> Bools:
        """Return which samples have a label, bool [n]."""
        return np.equal(self.codes, self.names.index(name) if name in self.names else -1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """A data set, samples in the order of its shards, columns of length n.

    Attributes:
        name, format: of the data set; generator: the program that wrote it; plan: digest of the plan (hex).
        planned: nothing is written yet: shard sizes are estimates, picture sizes those of each source's first one.
        options: options that determine the output.
        dataset, split, license: labels of each sample; an unknown license is `unknown`.
        yaw, pitch: float32, radians, valid where `has_camera` (bool) is true.
        mirrored: bool; replica: int64, 0 for the first copy of a picture.
        copies: int64, how often a sample is in a zip's list of names, else 1.
        weight: float32, for loaders that resample.
        width, height: int64, pixels, 0 if unknown.
        shards: in order; those of a plan have no checksums.
        pool: training pictures before rebalancing, None if unknown.
        filtered: pictures filtered by the user's options, by reason; left_out: number refused before planning.
        skipped: number of planned samples that were not written; listed: refused and skipped ones, with reasons.
        tombstones: samples that `export --update` removed.
        balances: comparison of the rebalancing rules, for a plan.
    """

    name: str
    format: str
    generator: str
    plan: str
    planned: bool
    options: Mapping[str, object]
    dataset: Labels
    split: Labels
    license: Labels
    yaw: NDArray[np.float32]
    pitch: NDArray[np.float32]
    has_camera: Bools
    mirrored: Bools
    replica: Counts
    copies: Counts
    weight: NDArray[np.float32]
    width: Counts
    height: Counts
    shards: tuple[Shard, ...]
    pool: PoseHistogram | None
    filtered: Mapping[str, int]
    left_out: int
    skipped: int
    listed: tuple[LeftOut, ...]
    tombstones: tuple[Tombstone, ...]
    notes: tuple[str, ...]
    balances: Balances | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.yaw)

    @property
    def counted(self) -> Floats:
        """How often each sample counts in training, by its weight and its copies, float64 [n]."""
        return self.weight.astype(np.float64) * self.copies

    @property
    def training(self) -> Bools:
        """Which samples are in the training split, bool [n]; all if there is no such split."""
        found = self.split.are(TRAIN)
        return found if found.any() else np.ones(len(self), np.bool_)

    @cached_property
    def degrees(self) -> tuple[Floats, Floats]:
        """Yaw and pitch of all samples in degrees, float64 [n] each."""
        return np.degrees(self.yaw.astype(np.float64)), np.degrees(self.pitch.astype(np.float64))

    @property
    def rebalanced(self) -> bool:
        """Whether the training split is rebalanced."""
        return self.options.get("rebalance", "none") != "none"

    @property
    def weighted(self) -> bool:
        """Whether rebalancing uses weights instead of copies."""
        return self.rebalanced and self.options.get("as") == "weights"


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of training samples over the poses.

    Attributes:
        count: number of samples or pictures, or the sum of their weights.
        effective: Kish's effective sample size of the pictures.
        entropy: bits, over bins of 10 degrees of yaw by 10 of pitch, of samples with known cameras.
        large: fraction of these with a yaw beyond `LARGE_YAW`.
    """

    count: float
    effective: float
    entropy: float
    large: float


def effective_size(replica: Counts, counted: Floats) -> float:
    """Return Kish's effective number of pictures, (sum c)^2 / sum c^2, where c is a picture's total count.

    Args:
        replica: number of each sample within its picture, from 0; counted: how often the sample itself counts.

    A picture of c copies has replicas 0 to c - 1, and the sum of 2 * replica + 1 is c^2.
    """
    total = float((np.square(counted) * (2 * replica + 1)).sum())
    return float(counted.sum()) ** 2 / total if total else 0.0


def after(facts: Facts) -> Spread:
    """Measure the training samples after rebalancing."""
    train = facts.training
    counted = facts.counted[train]
    seen = train & facts.has_camera
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    return _spread(counted.sum(), effective_size(facts.replica[train], counted), yaw, pitch, facts.counted[seen])


def before(facts: Facts) -> Spread | None:
    """Measure the training pictures before rebalancing; return None if unknown.

    Poses are rounded to whole degrees only if some of the pictures are not in the data set.
    """
    if facts.pool is None:
        return None
    pool, pictures = facts.pool, facts.pool.pictures.astype(np.float64)
    total = float(pictures.sum())
    first = facts.training & (facts.replica == 0)
    seen = first & facts.has_camera
    if np.count_nonzero(seen) == total:
        yaw, pitch = (angles[seen] for angles in facts.degrees)
        every = float(np.count_nonzero(first))
        return _spread(every, every, yaw, pitch, np.ones(len(yaw)))
    return _spread(total, total, pool.yaw.astype(np.float64), pool.pitch.astype(np.float64), pictures)


def _spread(count: float, effective: float, yaw: Floats, pitch: Floats, counted: Floats) -> Spread:
    total = float(counted.sum())
    if not total:
        return Spread(float(count), effective, 0.0, 0.0)
    large = float(counted[np.abs(yaw) > LARGE_YAW].sum()) / total
    return Spread(float(count), effective, entropy(angle_bins(np.stack([yaw, pitch], axis=1)), counted), large)
