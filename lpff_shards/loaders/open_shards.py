"""Opening the shards of an export: what reads them, and where their samples lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.files import ShardFiles, marked
from lpff_shards.loaders.object_reader import AT_ONCE, ShardRanges, Stored, unreadable
from lpff_shards.loaders.offsets import Offsets, checked, file_offsets, index_name
from lpff_shards.loaders.shards import Shards
from lpff_shards.manifest import Manifest, Shard
from lpff_shards.storage.bucket import BucketPath, Listed
from lpff_shards.storage.path import Place
from lpff_shards.storage.prefetch import ahead


def opened(root: Place, manifest: Manifest, shards: Sequence[Shard]) -> tuple[Shards, list[Offsets]]:
    """What reads an export's shards, and the offsets of each one's samples.

    Args:
        root: where the export is.
        manifest: of it.
        shards: those of its shards that are read.

    Raises:
        ShardsError: a shard is gone, or is not as long as the manifest and its index file say.
    """
    if isinstance(root, Path):
        marks = [marked(root / shard.file) for shard in shards]
        files = ShardFiles(root, manifest, [shard.file for shard in shards], marks)
        return files, [file_offsets(root, shard, mark.size) for shard, mark in zip(shards, marks, strict=True)]
    there = _listed(root)

    def opened_one(shard: Shard) -> tuple[Stored, Offsets]:
        size, etag = _found(root, shard, there)
        return Stored(root / shard.file, etag), _bucket_offsets(root, shard, size)

    found = list(ahead(opened_one, shards, AT_ONCE))
    return ShardRanges([stored for stored, _ in found]), [offsets for _, offsets in found]


def _listed(root: BucketPath) -> Mapping[str, Listed] | None:
    """The objects of an export by their names; None where they may be read and not listed."""
    try:
        return {one.name: one for one in root.listed()}
    except OSError as error:
        if isinstance(error, PermissionError) or "AccessDenied" in str(error.strerror):
            return None
        raise unreadable(root, error) from None


def _found(root: BucketPath, shard: Shard, there: Mapping[str, Listed] | None) -> tuple[int, str]:
    """Size and mark of a shard."""
    path = root / shard.file
    try:
        if there is None:
            return shard.bytes, path.read_marked(0, 1)[1]
        return there[shard.file].size, there[shard.file].etag
    except (KeyError, FileNotFoundError):
        raise ShardsError(f"{path} is not there", "See lpff-shards verify") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _bucket_offsets(root: BucketPath, shard: Shard, size: int) -> Offsets:
    index = root / index_name(shard.file)
    try:
        return checked(root / shard.file, shard, size, index.read_bytes())
    except FileNotFoundError:
        # A request for each header, one after the other, would take a store minutes a shard.
        raise ShardsError(f"{index} is not there", f"Write index files anew: lpff-shards index {root}") from None
    except OSError as error:
        raise unreadable(index, error) from None
