"""Facts: the columns of a written or planned data set for a report, and measures of them; no pictures are read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.exporters.finish import planned_manifest, poses_before
from lpff_shards.formats.containers.zip import members
from lpff_shards.formats.errors import FormatError
from lpff_shards.manifest import Manifest
from lpff_shards.options.mix import TRAIN
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import Balances, angle_bins, entropy
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.sidecars.attached import attached_channels
from lpff_shards.sidecars.sample_index import PoseHistogram, SampleIndex
from lpff_shards.storage.path import StoragePath, read_whole

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

    @classmethod
    def of(cls, texts: Sequence[str], first: Iterable[str] = ()) -> Labels:
        """Return labels from the texts of all samples: the names that come first, then the others sorted."""
        names = tuple(dict.fromkeys((*first, *sorted(set(texts)))))
        numbers = {name: number for number, name in enumerate(names)}
        return cls(np.fromiter(map(numbers.__getitem__, texts), np.int32, len(texts)), names)

    def counts(self, chosen: Bools | slice = slice(None)) -> Counts:
        """Count samples by label, int64 [names]: all samples or the chosen ones (bool [n])."""
        return np.bincount(self.codes[chosen], minlength=len(self.names)).astype(np.int64)

    def are(self, name: str) -> Bools:
        """Return which samples have a label, bool [n]."""
        return np.equal(self.codes, self.names.index(name) if name in self.names else -1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """A data set, samples in the order of its shards, columns of length n.

    Attributes:
        manifest: of the data set; of a plan: without checksums, with estimated sizes of shards.
        planned: whether nothing is written yet.
        dataset, split, license: labels of each sample; an unknown license is `unknown`.
        yaw, pitch: float32, radians, valid where `has_camera` (bool) is true.
        mirrored: bool; replica: int64, 0 for the first copy of a picture.
        copies: int64, how often a sample is in a zip's list of names, else 1.
        weight: float32, for loaders that resample.
        width, height: int64, pixels, 0 if unknown.
        pool: int64 [m, 3], training pictures before rebalancing: yaw and pitch in whole degrees, number of pictures;
            None if unknown.
        balances: comparison of the rebalancing rules, for a plan.
        attached: manifests of attached channels by name.
    """

    manifest: Manifest
    planned: bool
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
    pool: Counts | None
    balances: Balances | None = None
    attached: Mapping[str, Manifest] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.yaw)

    @property
    def counted(self) -> Floats:
        """How often each sample counts in training, float64 [n]."""
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
        return bool(self.manifest.options.get("rebalance", "none") != "none")

    @property
    def weighted(self) -> bool:
        """Whether weights stand for copies."""
        return self.rebalanced and self.manifest.options.get("as") == "weights"


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of training samples over the poses.

    Attributes:
        count: number of samples or pictures, or the sum of their weights; effective: Kish's effective sample size.
        entropy: bits, over bins of 10 degrees of yaw by 10 of pitch, of samples with known cameras.
        large: fraction of these with a yaw beyond `LARGE_YAW`.
    """

    count: float
    effective: float
    entropy: float
    large: float


def effective_size(replica: Counts, counted: Floats) -> float:
    """Return Kish's effective number of pictures, (sum c)^2 / sum c^2, where c is a picture's total count.

    A picture of c copies, `counted` once each, has replicas 0 to c - 1, and the sum of 2 * replica + 1 is c^2.
    """
    total = float((np.square(counted) * (2 * replica + 1)).sum())
    return float(counted.sum()) ** 2 / total if total else 0.0


def after(facts: Facts) -> Spread:
    """Measure the training samples after rebalancing."""
    return _measured(facts, facts.training, facts.counted)


def before(facts: Facts) -> Spread | None:
    """Measure the training pictures before rebalancing; return None if unknown."""
    if facts.pool is None:
        return None
    first = facts.training & (facts.replica == 0)
    yaw, pitch, pictures = facts.pool.T.astype(np.float64)
    total = float(pictures.sum())
    # The pool's poses are whole degrees, and are used only if some of its pictures are not in the data set.
    if np.count_nonzero(first & facts.has_camera) == total:
        return _measured(facts, first, np.ones(len(facts)))
    return _spread(total, total, yaw, pitch, pictures)


def _measured(facts: Facts, chosen: Bools, counted: Floats) -> Spread:
    seen = chosen & facts.has_camera
    effective = effective_size(facts.replica[chosen], counted[chosen])
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    return _spread(float(counted[chosen].sum()), effective, yaw, pitch, counted[seen])


def _spread(count: float, effective: float, yaw: Floats, pitch: Floats, counted: Floats) -> Spread:
    total = float(counted.sum())
    if not total:
        return Spread(count, effective, 0.0, 0.0)
    large = float(counted[np.abs(yaw) > LARGE_YAW].sum()) / total
    return Spread(count, effective, entropy(angle_bins(np.stack([yaw, pitch], axis=1)), counted), large)


def export_facts(root: StoragePath, manifest: Manifest, samples: SampleIndex) -> Facts:
    """Return the facts of an export; raise ShardsError if samples.sqlite or a zip cannot be read."""
    names = ("yaw", "pitch", "has_camera", "mirrored", "replica", "weight", "width", "height")
    columns: dict[str, Any] = {name: samples.column(name) for name in names}
    dataset, split, license = (samples.column(name).tolist() for name in ("dataset", "split", "license"))
    licenses = Labels.of(license)
    pool = samples.pool()
    return Facts(
        manifest=manifest,
        planned=False,
        dataset=Labels.of(dataset),
        # A split with all samples left out has shards, but no sample.
        split=Labels.of(split, (*manifest.splits, *(shard.split for shard in manifest.shards))),
        license=replace(licenses, names=tuple(name or UNKNOWN_LICENSE for name in licenses.names)),
        **columns,
        copies=_copies(root, manifest),
        pool=None if pool is None else _array(pool),
        attached=attached_channels(root),
    )


def _array(pool: PoseHistogram) -> Counts:
    return np.array([row[1:] for row in pool], np.int64).reshape(-1, 3)


def _copies(root: StoragePath, manifest: Manifest) -> Counts:
    """Return how often each sample is in a zip's own list of names, int64 [n]; once in other formats."""
    if manifest.options.get("zip_copies") != "list":
        return np.ones(manifest.samples, np.int64)
    own = f"{next(iter(manifest.lists))}.json"
    copies = []
    for shard in manifest.shards:
        path = root / shard.file
        try:
            data = read_whole(path)
            found = list(members(data))
            times = Counter(next(json.loads(bytes(one.read(data))) for one in found if one.name == own))
            copies.append(np.fromiter((times[member.name] or 1 for member in found), np.int64, shard.samples))
        except (OSError, FormatError, ValueError, StopIteration) as error:
            raise ShardsError(f"{path} cannot be read: {error}", "See lpff-shards verify") from None
    return np.concatenate(copies)


def plan_facts(plan: Plan, balances: Balances | None) -> Facts:
    """Return the facts of a plan; `balances` is the comparison of the rebalancing rules by `api.compare_rules`."""
    entries = plan.entries
    centers, known = entries.centers()
    yaw, pitch = np.where(known[:, None], yaw_pitch(centers), 0.0).astype(np.float32).T
    side = plan.settings.picture.resolution or plan.settings.side
    # Pictures of a source are assumed to be as large as its first one.
    sizes = np.array([(side, side) if side else one.typical_size for one in plan.inventories], np.int64).reshape(-1, 2)
    numbers: dict[str, int] = {}
    licenses = []
    for inventory in entries.inventories:
        found = inventory.licenses()
        own = [numbers.setdefault(one.short or UNKNOWN_LICENSE, len(numbers)) for one in found.values]
        licenses.append(np.array(own, np.int32)[found.codes])
    return Facts(
        manifest=planned_manifest(plan),
        planned=True,
        dataset=Labels(entries.source.astype(np.int32), tuple(inventory.source for inventory in plan.inventories)),
        split=Labels(entries.split.astype(np.int32), entries.splits),
        license=Labels(entries.gather(licenses), tuple(numbers)),
        yaw=yaw,
        pitch=pitch,
        has_camera=known,
        mirrored=entries.mirrored(),
        replica=entries.replica.astype(np.int64),
        copies=next(iter(plan.lists.values()), np.ones(len(entries))).astype(np.int64),
        weight=entries.weight,
        width=sizes[entries.source, 0],
        height=sizes[entries.source, 1],
        pool=_array(poses_before(plan)),
        balances=balances,
    )
