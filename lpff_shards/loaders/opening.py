"""Opening the shards of an export: what reads them, and where their samples lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.files import ShardFiles
from lpff_shards.loaders.offsets import Offsets, checked, file_offsets, index_name
from lpff_shards.loaders.ranges import AT_ONCE, ShardRanges, Stored, unreadable
from lpff_shards.loaders.shards import Shards
from lpff_shards.manifest import Shard
from lpff_shards.stores.ahead import ahead
from lpff_shards.stores.bucket import BucketPath, Listed
from lpff_shards.stores.place import Place


def opened(root: Place, shards: Sequence[Shard]) -> tuple[Shards, list[Offsets]]:
    """What reads an export's shards, and the offsets of each one's samples.

    Raises:
        ShardsError: a shard is gone, or is not as long as the manifest and its index file say.
    """
    if isinstance(root, Path):
        return ShardFiles([root / shard.file for shard in shards]), [file_offsets(root, shard) for shard in shards]
    there = _listed(root)

    def offsets(shard: Shard) -> Offsets:
        return _bucket_offsets(root, shard, _size(root, shard, there))

    found = list(ahead(offsets, shards, AT_ONCE))
    marks = [there[shard.file].etag if there else "" for shard in shards]
    return ShardRanges([Stored(root / shard.file, mark) for shard, mark in zip(shards, marks, strict=True)]), found


def _listed(root: BucketPath) -> Mapping[str, Listed] | None:
    """The objects of an export by their names; None where they may be read and not listed."""
    try:
        return {one.name: one for one in root.listed()}
    except OSError as error:
        if isinstance(error, PermissionError) or "AccessDenied" in str(error.strerror):
            return None
        raise unreadable(root, error) from None


def _size(root: BucketPath, shard: Shard, there: Mapping[str, Listed] | None) -> int:
    if there is None:
        return shard.bytes
    if shard.file not in there:
        raise ShardsError(f"{root / shard.file} is not there", "See lpff-shards verify")
    return there[shard.file].size


def _bucket_offsets(root: BucketPath, shard: Shard, size: int) -> Offsets:
    index = root / index_name(shard.file)
    try:
        return checked(root / shard.file, shard, size, index.read_bytes())
    except FileNotFoundError:
        # A request for each header, one after the other, would take a store minutes a shard.
        raise ShardsError(f"{index} is not there", f"Write index files anew: lpff-shards index {root}") from None
    except OSError as error:
        raise unreadable(index, error) from None
