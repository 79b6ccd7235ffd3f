"""Facts: all that a report tells of a data set, in columns, whether it is written or only planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lpff_shards.options.mix import TRAIN
from lpff_shards.planning.rule_comparison import Balances
from lpff_shards.report.evenness import Counts, Evenness, Floats, evenness
from lpff_shards.schemas.left_out import LeftOut, Tombstone

Bools = NDArray[np.bool_]


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


@dataclass(frozen=True, eq=False)
class Pictures:
    """How many training pictures stand where before rebalancing, columns of length m.

    Attributes:
        dataset: of each; yaw, pitch: int32 [m], whole degrees, rounded; pictures: int64 [m], how many.
    """

    dataset: Labels
    yaw: NDArray[np.int32]
    pitch: NDArray[np.int32]
    pictures: Counts


@dataclass(frozen=True, slots=True)
class ShardFact:
    """A shard: its file, its split, how many samples and bytes it has."""

    file: str
    split: str
    samples: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Losses:
    """What is not in the data set, and why.

    Attributes:
        planned: samples; written: of them, 0 for a plan; skipped: of them, in writing.
        left_out: pictures that were refused before planning.
        filtered: pictures left out by the user's wish, by reason.
        listed: the skipped and the refused, with their reasons.
        tombstones: samples that `export --update` took out.
    """

    planned: int
    written: int
    skipped: int
    left_out: int
    filtered: Mapping[str, int]
    listed: tuple[LeftOut, ...]
    tombstones: tuple[Tombstone, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """A data set, samples in the order of its shards, columns of length n.

    Attributes:
        name, format: of the data set; generator: what wrote it; plan: digest of the plan (hex).
        planned: nothing is written yet: sizes of files are estimates, and those of pictures are each source's first.
        options: that decided what is written.
        dataset, split, license: of each sample; an unknown license is `unknown`.
        yaw, pitch: float32, radians; `has_camera` (bool) says where they are known.
        mirrored: bool; replica: int64, 0 for the first copy of a picture.
        copies: int64, how often a sample counts where a list of names says so (zip), else 1.
        weight: float32, for loaders that resample.
        width, height: int64, pixels, 0 unknown; bytes: int64, of the picture's file, or of the sample in a plan.
        shard: int64, which of `shards`.
        pool: the training pictures before rebalancing, None where they are not known.
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
    bytes: Counts
    shard: Counts
    shards: tuple[ShardFact, ...]
    pool: Pictures | None
    losses: Losses
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

    @cached_property
    def evenness(self) -> Evenness:
        """How even the pose mix of the shards is."""
        splits = np.array([self.split.names.index(shard.split) for shard in self.shards], np.int64)
        yaw, pitch = (angles[self.has_camera] for angles in self.degrees)
        return evenness(splits, self.shard[self.has_camera], yaw, pitch)
