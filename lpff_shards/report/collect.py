"""Collecting the facts of an export from its manifest and `samples.sqlite`, or of a plan, without reading pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards._version import __version__
from lpff_shards.errors import ShardsError
from lpff_shards.formats.containers.zip import members
from lpff_shards.formats.errors import FormatError
from lpff_shards.manifest import Manifest, Shard
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import Balances
from lpff_shards.report.facts import Counts, Facts, Labels
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.sidecars.sample_index.read import SampleIndex
from lpff_shards.sidecars.sample_index.tables import PoseHistogram, count_poses
from lpff_shards.storage.path import StoragePath, read_whole


def export_facts(root: StoragePath, manifest: Manifest, samples: SampleIndex) -> Facts:
    """Return the facts of an export.

    Raises:
        ShardsError: samples.sqlite or a zip cannot be read.
    """
    licenses, license_names = samples.categories("license")
    names = ("yaw", "pitch", "has_camera", "mirrored", "replica", "weight", "width", "height")
    columns: dict[str, Any] = {name: samples.numbers(name) for name in names}
    return Facts(
        name=manifest.name,
        format=manifest.format,
        generator=manifest.generator,
        plan=manifest.plan,
        planned=False,
        options=manifest.options,
        dataset=Labels(*samples.categories("dataset")),
        split=_splits(samples, manifest),
        license=Labels(licenses, tuple(name or UNKNOWN_LICENSE for name in license_names)),
        **columns,
        copies=_copies(root, manifest),
        shards=manifest.shards,
        pool=samples.pool(),
        filtered=manifest.filtered,
        left_out=manifest.counts.left_out,
        skipped=manifest.counts.skipped,
        listed=manifest.skipped,
        tombstones=manifest.tombstones,
        notes=manifest.notes,
    )


def _splits(samples: SampleIndex, manifest: Manifest) -> Labels:
    """Return the splits in the manifest's order; a split with all samples left out has shards but no count there."""
    codes, found = samples.categories("split")
    names = tuple(dict.fromkeys((*manifest.splits, *(shard.split for shard in manifest.shards), *found)))
    return Labels(np.array([names.index(name) for name in found], np.int32)[codes], names)


def _copies(root: StoragePath, manifest: Manifest) -> Counts:
    """Return how often each sample counts by a zip's lists of names, int64 [n]; once in other formats."""
    if manifest.options.get("zip_copies") != "list":
        return np.ones(manifest.samples, np.int64)
    own = next(iter(manifest.lists))
    return np.concatenate(
        [np.fromiter(_listed(root, shard, own), np.int64, shard.samples) for shard in manifest.shards]
    )


def _listed(root: StoragePath, shard: Shard, name: str) -> Iterator[int]:
    """Yield how often each picture of a zip is in the data set's own list."""
    try:
        data = read_whole(root / shard.file)
        found = list(members(data))
        names: list[str] = next(json.loads(bytes(one.read(data))) for one in found if one.name == f"{name}.json")
    except (OSError, FormatError, ValueError, StopIteration) as error:
        raise ShardsError(f"{root / shard.file} cannot be read: {error}", "See lpff-shards verify") from None
    times = Counter(names)
    return (times[member.name] or 1 for member in found[: shard.samples])


def plan_facts(plan: Plan, balances: Balances | None) -> Facts:
    """Return the facts of a plan.

    Args:
        balances: comparison of the rebalancing rules, see `api.compare_rules`.
    """
    entries = plan.entries
    poses, known = _poses(entries)
    side = plan.settings.picture.resolution or plan.settings.side
    # Pictures of a source are assumed to be as large as its first one.
    sizes = np.array([(side, side) if side else one.typical_size for one in plan.inventories], np.int64).reshape(-1, 2)
    return Facts(
        name=plan.name,
        format=plan.settings.format,
        generator=f"lpff-shards {__version__}",
        plan=plan.digest,
        planned=True,
        options=plan.options,
        dataset=Labels(entries.source.astype(np.int32), tuple(i.source for i in plan.inventories)),
        split=Labels(entries.split.astype(np.int32), entries.splits),
        license=_licenses(entries),
        yaw=poses[:, 0].astype(np.float32),
        pitch=poses[:, 1].astype(np.float32),
        has_camera=known,
        mirrored=entries.mirrored(),
        replica=entries.replica.astype(np.int64),
        copies=next(iter(plan.lists.values()), np.ones(len(entries))).astype(np.int64),
        weight=entries.weight,
        width=sizes[entries.source, 0],
        height=sizes[entries.source, 1],
        shards=_shards(plan),
        pool=_pool(plan.mix),
        filtered=plan.mix.filtered,
        left_out=len(plan.problems),
        skipped=0,
        listed=plan.problems,
        tombstones=plan.tombstones,
        notes=plan.notes,
        balances=balances,
    )


def _poses(entries: Entries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return yaw and pitch in radians, float64 [n, 2], zero if unknown; and whether they are known, bool [n]."""
    centers, known = entries.centers()
    return np.where(known[:, None], yaw_pitch(centers), 0.0), known


def _shards(plan: Plan) -> tuple[Shard, ...]:
    rows = [plan.rows(output.tasks) for output in plan.outputs]
    return tuple(
        Shard(output.file, output.split, len(own), int(plan.sizes[own.start : own.stop].sum()), checksum="", keys="")
        for output, own in zip(plan.outputs, rows, strict=True)
    )


def _licenses(entries: Entries) -> Labels:
    numbers: dict[str, int] = {}
    columns = [
        np.array(
            [numbers.setdefault(credit.license.short or UNKNOWN_LICENSE, len(numbers)) for credit in inventory.credits],
            np.int32,
        )
        for inventory in entries.inventories
    ]
    return Labels(entries.gather(columns), tuple(numbers))


def _pool(mix: Mix) -> PoseHistogram:
    """Count the written training pictures by pose, before rebalancing."""
    entries = mix.pool.entries.take(mix.pool.written)
    poses, known = _poses(entries)
    sources = tuple(inventory.source for inventory in entries.inventories)
    return count_poses(sources, entries.source[known].astype(np.int64), poses[known])
