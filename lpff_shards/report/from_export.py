"""The facts of a finished export: its manifest and its ledger; pictures are not read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.formats.containers.zip import members
from lpff_shards.formats.errors import FormatError
from lpff_shards.manifest import Manifest, Shard
from lpff_shards.report.evenness import Counts
from lpff_shards.report.facts import Facts, Labels, Losses, Pictures, ShardFact
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.sidecars.sample_index.read import Ledger
from lpff_shards.storage.path import Place, whole


def export_facts(root: Place, manifest: Manifest, ledger: Ledger) -> Facts:
    """What a report tells of an export.

    Raises:
        ShardsError: the ledger or a zip cannot be read.
    """
    counts = manifest.counts
    license = _labels(ledger, "license")
    return Facts(
        name=manifest.name,
        format=manifest.format,
        generator=manifest.generator,
        plan=manifest.plan,
        planned=False,
        options=manifest.options,
        dataset=_labels(ledger, "dataset"),
        split=_in_order(_labels(ledger, "split"), manifest),
        license=Labels(license.codes, tuple(name or UNKNOWN_LICENSE for name in license.names)),
        yaw=ledger.numbers("yaw"),
        pitch=ledger.numbers("pitch"),
        has_camera=ledger.numbers("has_camera"),
        mirrored=ledger.numbers("mirrored"),
        replica=ledger.numbers("replica"),
        copies=_copies(root, manifest),
        weight=ledger.numbers("weight"),
        width=ledger.numbers("width"),
        height=ledger.numbers("height"),
        bytes=ledger.numbers("picture_bytes"),
        shard=ledger.numbers("shard"),
        shards=tuple(ShardFact(shard.file, shard.split, shard.samples, shard.bytes) for shard in manifest.shards),
        pool=_pool(ledger),
        losses=Losses(
            counts.planned,
            counts.written,
            counts.skipped,
            counts.left_out,
            manifest.filtered,
            manifest.skipped,
            manifest.tombstones,
        ),
        notes=manifest.notes,
    )


def _labels(ledger: Ledger, field: str) -> Labels:
    return Labels(*ledger.categories(field))


def _in_order(splits: Labels, manifest: Manifest) -> Labels:
    """The splits in the manifest's order; one of which every sample was left out has shards and no count there."""
    names = tuple(dict.fromkeys((*manifest.splits, *(shard.split for shard in manifest.shards), *splits.names)))
    places = np.array([names.index(name) for name in splits.names], np.int32)
    return Labels(places[splits.codes], names)


def _pool(ledger: Ledger) -> Pictures | None:
    pool = ledger.pool()
    return None if pool is None else Pictures(Labels(pool.dataset, pool.datasets), pool.yaw, pool.pitch, pool.pictures)


def _copies(root: Place, manifest: Manifest) -> Counts:
    """How often each sample counts by a zip's lists of names, int64 [n]; once in other formats."""
    if manifest.options.get("zip_copies") != "list":
        return np.ones(manifest.samples, np.int64)
    own = next(iter(manifest.lists))
    return np.concatenate(
        [np.fromiter(_listed(root, shard, own), np.int64, shard.samples) for shard in manifest.shards]
    )


def _listed(root: Place, shard: Shard, name: str) -> Iterator[int]:
    """How often each picture of a zip is in the list of the data set itself."""
    try:
        data = whole(root / shard.file)
        found = list(members(data))
        names: list[str] = next(json.loads(bytes(one.read(data))) for one in found if one.name == f"{name}.json")
    except (OSError, FormatError, ValueError, StopIteration) as error:
        raise ShardsError(f"{root / shard.file} cannot be read: {error}", "See lpff-shards verify") from None
    times = Counter(names)
    return (times[member.name] or 1 for member in found[: shard.samples])
