"""Where samples start in their shards: from the index files beside them, else from the shards' own headers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.index_names import index_names
from lpff_shards.manifest import Shard
from lpff_shards.stores.place import Place, read_at, size_of
from lpff_shards.wire import tar, tfrecord
from lpff_shards.wire.errors import WireError

Offsets = NDArray[np.int64]
"""int64 [samples + 1]: where each sample of a shard starts, and where the last one ends."""


def sample_offsets(root: Place, shard: Shard) -> Offsets:
    """The offsets of a shard's samples.

    Raises:
        ShardsError: the shard is gone, or is not as long as the manifest and its index file say.
    """
    path = root / shard.file
    is_tar = shard.file.endswith(".tar")
    try:
        size = size_of(path)
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


def _disagrees(path: Place) -> ShardsError:
    return ShardsError(
        f"{path} is not the shard that its manifest and its index file tell of",
        "See lpff-shards verify; lpff-shards index mends index files",
    )


def _of_tar_index(index: Place) -> Offsets:
    """Energon's index: the offsets as they are."""
    return np.frombuffer(index.read_bytes(), "<u8").astype(np.int64)


def _of_record_index(index: Place) -> Offsets:
    """DALI's index: a line a record, its offset and its length."""
    spans = np.array(index.read_text().split(), np.int64).reshape(-1, 2)
    return np.append(spans[:, 0], spans[-1:].sum())


def _headers(path: Place, is_tar: bool) -> Iterator[int]:
    """The offsets that a shard's own headers tell, without reading what lies between them."""
    yield from _tar_headers(path) if is_tar else _record_headers(path)


def _tar_headers(path: Place) -> Iterator[int]:
    at, key = 0, ""
    while any(block := read_at(path, at, tar.BLOCK)):
        member = tar.read_header(block, at)
        found = member.name.partition(".")[0]
        if found != key:
            yield at
            key = found
        at = member.end
    yield at


def _record_headers(path: Place) -> Iterator[int]:
    at = 0
    while head := read_at(path, at, 8):
        yield at
        at += int.from_bytes(head, "little") + tfrecord.FRAMING
    yield at
