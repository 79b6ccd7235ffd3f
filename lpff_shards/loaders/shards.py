"""Ranges and offsets of samples in shards, and the errors of shards that differ from their export."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Offsets
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.registry import format_of
from lpff_shards.manifest import Shard
from lpff_shards.storage.path import StoragePath, is_remote


class Span(NamedTuple):
    """A range of a shard's bytes: the shard's number, and the start and end offsets (end excluded)."""

    shard: int
    start: int
    end: int


def sample_offsets(path: StoragePath, shard: Shard, size: int, index: bytes | Callable[[int, int], bytes]) -> Offsets:
    """Return the offsets of the samples of a shard.

    Args:
        size: bytes of the shard.
        index: its index file, or a function that reads the shard by offset and number of bytes.

    Raises:
        ShardsError: the length of the shard differs from the manifest or the index, or its headers are damaged.
        OSError: of the function.
    """
    format = format_of(shard.file)
    spans = None if format is None else format.spans()
    assert spans is not None, "other formats were refused before"
    try:
        found = spans.offsets(index) if isinstance(index, bytes) else np.fromiter(spans.scan(index), np.int64)
    except (ValueError, OverflowError, FormatError):
        found = np.zeros(0, np.int64)
    whole = len(found) == shard.samples + 1 and found[0] == 0 and (np.diff(found) > 0).all()
    if size != shard.bytes or not whole or found[-1] != size - len(spans.end):
        raise ShardsError(
            f"{path} does not match its manifest or its index file",
            "Run lpff-shards verify; lpff-shards index repairs index files",
        )
    return found


def unreadable(path: StoragePath, error: OSError) -> ShardsError:
    """Return the error for a shard or index file that cannot be read."""
    hint = "Check the bucket, its credentials and the network" if is_remote(path) else "Check the folder"
    return ShardsError(f"{path} cannot be read: {error.strerror}", hint)


def too_short(path: StoragePath, missing: int) -> ShardsError:
    """Return the error for a shard that ends before the requested bytes."""
    return ShardsError(f"{path} ends {missing} bytes too early", "See lpff-shards verify")


def changed(path: StoragePath) -> ShardsError:
    """Return the error for a shard that was replaced after the data set was opened."""
    return ShardsError(f"{path} has changed since it was opened", "Open the data set again")
