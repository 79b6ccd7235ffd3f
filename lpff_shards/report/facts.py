"""Facts: the columns of a written or planned data set that a report is made from, and measures of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lpff_shards.manifest import Shard
from lpff_shards.options.mix import TRAIN
from lpff_shards.planning.rebalance import Balances
from lpff_shards.planning.rules import angle_bins, entropy
from lpff_shards.schemas.left_out import LeftOut, Tombstone
from lpff_shards.sidecars.sample_index.tables import PoseHistogram

Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

LARGE_YAW = 45.0
"""Degrees of yaw from which a pose is called large."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A label of each sample: `codes` int32 [n] point into `names`."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    def counts(self, chosen: Bools | None = None) -> Counts:
        """Samples by label, int64 [names], of all samples or of the chosen ones (bool [n])."""
        codes = self.codes if chosen is None else self.codes[chosen]
        return np.bincount(codes, minlength=len(self.names)).astype(np.int64)

    def are(self, name: str) -> Bools:
        """Which samples bear a label, bool [n]."""
        return np.equal(self.codes, self.names.index(name) if name in self.names else -1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """A data set, samples in the order of its shards, columns of length n.

    Attributes:
        name, format: of the data set; generator: what wrote it; plan: digest of the plan (hex).
        planned: nothing is written yet: sizes of shards are estimates, and those of pictures are each source's first.
        options: that decided what is written.
        dataset, split, license: of each sample; an unknown license is `unknown`.
        yaw, pitch: float32, radians; `has_camera` (bool) says where they are known.
        mirrored: bool; replica: int64, 0 for the first copy of a picture.
        copies: int64, how often a sample counts where a list of names says so (zip), else 1.
        weight: float32, for loaders that resample.
        width, height: int64, pixels, 0 unknown.
        shards: in order; those of a plan have no checksums.
        pool: the training pictures before rebalancing, None where they are not known.
        filtered: pictures left out by the user's wish, by reason; left_out: how many were refused before planning.
        skipped: how many planned samples were not written; listed: the refused and the skipped, with their reasons.
        tombstones: samples that `export --update` took out.
        balances: the rules of rebalancing side by side, of a plan.
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
        """Number of samples."""
        return len(self.yaw)

    @property
    def counted(self) -> Floats:
        """How often each sample counts in training, by its weight and its copies, float64 [n]."""
        return self.weight.astype(np.float64) * self.copies

    @property
    def training(self) -> Bools:
        """Which samples are of the training split, bool [n]; all where no split is called so."""
        found = self.split.are(TRAIN)
        return found if found.any() else np.ones(len(self), np.bool_)

    @cached_property
    def degrees(self) -> tuple[Floats, Floats]:
        """Yaw and pitch of all samples in degrees, float64 [n] each."""
        return np.degrees(self.yaw.astype(np.float64)), np.degrees(self.pitch.astype(np.float64))

    @property
    def rebalanced(self) -> bool:
        """Whether pictures count differently often."""
        return self.options.get("rebalance", "none") != "none"

    @property
    def weighted(self) -> bool:
        """Whether weights say how often pictures count, and not copies."""
        return self.rebalanced and self.options.get("as") == "weights"


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
    """The training pictures before rebalancing; None where not known.

    Their poses are rounded to whole degrees only where some of them are not in the data set, such as undrawn ones.
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
