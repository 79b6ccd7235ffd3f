"""Open the shards of an export; offsets of samples are read from index files, else from the shards' headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Offsets, Spans
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.registry import format_of, index_names
from lpff_shards.loaders.files import ShardFiles, marked, unreadable_file
from lpff_shards.loaders.object_reader import AT_ONCE, ShardRanges, StoredShard, unreadable
from lpff_shards.loaders.shards import Shards
from lpff_shards.manifest import Manifest, Shard
from lpff_shards.storage.bucket import BucketPath, Listed
from lpff_shards.storage.full_reads import pread_fully
from lpff_shards.storage.path import StoragePath, is_file, is_remote
from lpff_shards.storage.prefetch import prefetch


def open_shards(root: StoragePath, manifest: Manifest, shards: Sequence[Shard]) -> tuple[Shards, list[Offsets]]:
    """Return a reader of an export's shards, and the offsets of each shard's samples.

    Args:
        root: folder or URI of the export.
        manifest: of the export.
        shards: the shards to read.

    Raises:
        ShardsError: a shard is missing, or its length differs from the manifest or its index file.
    """
    if is_remote(root):
        return _opened_objects(root, shards)
    folder = Path(str(root))
    marks = [marked(folder / shard.file) for shard in shards]
    files = ShardFiles(folder, manifest, [shard.file for shard in shards], marks)
    return files, [file_offsets(folder, shard, mark.size) for shard, mark in zip(shards, marks, strict=True)]


def _opened_objects(root: BucketPath, shards: Sequence[Shard]) -> tuple[Shards, list[Offsets]]:
    listed = _listed(root)

    def opened_one(shard: Shard) -> tuple[StoredShard, Offsets]:
        size, etag = _found(root, shard, listed)
        return StoredShard(root / shard.file, etag), _bucket_offsets(root, shard, size)

    opened = list(prefetch(opened_one, shards, AT_ONCE))
    return ShardRanges([stored for stored, _ in opened]), [offsets for _, offsets in opened]


def _listed(root: BucketPath) -> Mapping[str, Listed] | None:
    """Return the objects of an export by name; None without the right to list them."""
    try:
        return {one.name: one for one in root.listed()}
    except OSError as error:
        if isinstance(error, PermissionError) or "AccessDenied" in str(error.strerror):
            return None
        raise unreadable(root, error) from None


def _found(root: BucketPath, shard: Shard, listed: Mapping[str, Listed] | None) -> tuple[int, str]:
    """Return size and ETag of a shard."""
    path = root / shard.file
    try:
        if listed is None:
            return shard.bytes, path.read_marked(0, 1)[1]
        return listed[shard.file].size, listed[shard.file].etag
    except (KeyError, FileNotFoundError):
        raise ShardsError(f"{path} is missing", "Run lpff-shards verify") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _bucket_offsets(root: BucketPath, shard: Shard, size: int) -> Offsets:
    index = root / index_name(shard.file)
    try:
        return checked(root / shard.file, shard, size, index.read_bytes())
    except FileNotFoundError:
        # One request per header would take minutes per shard.
        raise ShardsError(f"{index} is missing", f"Write it: lpff-shards index {root}") from None
    except OSError as error:
        raise unreadable(index, error) from None


def file_offsets(root: Path, shard: Shard, size: int) -> Offsets:
    """Return the offsets of the samples of a shard of `size` bytes.

    Raises:
        ShardsError: the length of the shard differs from the manifest or its index file.
    """
    path = root / shard.file
    try:
        index = root / index_name(shard.file)
        if is_file(index):
            return checked(path, shard, size, index.read_bytes())
        with path.open("rb", buffering=0) as file:
            offsets = np.fromiter(_spans(shard).scan(lambda at, size: pread_fully(file.fileno(), size, at)), np.int64)
    except OSError as error:
        raise unreadable_file(path, error) from None
    except (ValueError, OverflowError, FormatError):
        raise _disagrees(path) from None
    return _agreeing(path, shard, size, offsets)


def index_name(file: str) -> str:
    """Return the name of a shard's index file with the offsets of its samples."""
    return index_names(file)[-1]


def checked(path: StoragePath, shard: Shard, size: int, index: bytes) -> Offsets:
    """Return the offsets in an index file.

    Raises:
        ShardsError: the length of the shard differs from the manifest or the index.
    """
    try:
        offsets = _spans(shard).offsets(index)
    except (ValueError, OverflowError):
        raise _disagrees(path) from None
    return _agreeing(path, shard, size, offsets)


def _spans(shard: Shard) -> Spans:
    format = format_of(shard.file)
    spans = None if format is None else format.spans()
    assert spans is not None, "other formats were refused before"
    return spans


def _agreeing(path: StoragePath, shard: Shard, size: int, found: Offsets) -> Offsets:
    end = size - len(_spans(shard).end)
    whole = len(found) == shard.samples + 1 and found[0] == 0 and found[-1] == end and (np.diff(found) > 0).all()
    if size != shard.bytes or not whole:
        raise _disagrees(path)
    return found


def _disagrees(path: StoragePath) -> ShardsError:
    return ShardsError(
        f"{path} does not match its manifest or its index file",
        "Run lpff-shards verify; lpff-shards index repairs index files",
    )
