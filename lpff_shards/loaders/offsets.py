"""Where samples start in their shards: from the index files beside them, else from the shards' own headers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.index_names import index_names
from lpff_shards.manifest import Shard
from lpff_shards.wire import tar, tfrecord
from lpff_shards.wire.errors import WireError

Offsets = NDArray[np.int64]
"""int64 [samples + 1]: where each sample of a shard starts, and where the last one ends."""


def sample_offsets(root: Path, shard: Shard) -> Offsets:
    """The offsets of a shard's samples.

    Raises:
        ShardsError: the shard is gone, or is not as long as the manifest and its index file say.
    """
    path = root / shard.file
    is_tar = shard.file.endswith(".tar")
    try:
        size = path.stat().st_size
        index = root / index_names(shard.file)[-1]
        if index.is_file():
            found = _of_tar_index(index) if is_tar else _of_record_index(index)
        else:
            found = np.fromiter(_headers(path, is_tar), np.int64)
    except OSError as error:
        raise ShardsError(f"{path} cannot be read: {error.strerror}", "Check the folder") from None
    except (ValueError, OverflowError, WireError):
        raise _disagrees(path) from None
    end = size - (len(tar.END) if is_tar else 0)
    whole = len(found) == shard.samples + 1 and found[0] == 0 and found[-1] == end and (np.diff(found) > 0).all()
    if size != shard.bytes or not whole:
        raise _disagrees(path)
    return found


def _disagrees(path: Path) -> ShardsError:
    return ShardsError(
        f"{path} is not the shard that its manifest and its index file tell of",
        "See lpff-shards verify; lpff-shards index mends index files",
    )


def _of_tar_index(index: Path) -> Offsets:
    """Energon's index: the offsets as they are."""
    return np.frombuffer(index.read_bytes(), "<u8").astype(np.int64)


def _of_record_index(index: Path) -> Offsets:
    """DALI's index: a line a record, its offset and its length."""
    spans = np.array(index.read_text().split(), np.int64).reshape(-1, 2)
    return np.append(spans[:, 0], spans[-1:].sum())


def _headers(path: Path, is_tar: bool) -> Iterator[int]:
    """The offsets that a shard's own headers tell, without reading what lies between them."""
    with path.open("rb", buffering=0) as file:
        yield from _tar_headers(file.fileno()) if is_tar else _record_headers(file.fileno())


def _tar_headers(fd: int) -> Iterator[int]:
    at, key = 0, ""
    while any(block := os.pread(fd, tar.BLOCK, at)):
        member = tar.read_header(block, at)
        found = member.name.partition(".")[0]
        if found != key:
            yield at
            key = found
        at = member.end
    yield at


def _record_headers(fd: int) -> Iterator[int]:
    at = 0
    while head := os.pread(fd, 8, at):
        yield at
        at += int.from_bytes(head, "little") + tfrecord.FRAMING
    yield at
