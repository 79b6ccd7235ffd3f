"""Interfaces for reading shards, as files or as objects of a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from lpff_shards.errors import ShardsError
from lpff_shards.storage.path import StoragePath


class Span(NamedTuple):
    """A range of a shard's bytes: the shard's number, and the start and end offsets (end excluded)."""

    shard: int
    start: int
    end: int


class Reads(Protocol):
    """Bytes of shards, or of one fetched span. Safe in threads."""

    def read(self, shard: int, at: int, size: int) -> bytes:
        """Return bytes of a shard, fewer at its end.

        Raises:
            ShardsError: the shard cannot be read.
        """

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:
        """Fill buffers with consecutive bytes of a shard.

        Raises:
            ShardsError: the shard cannot be read, or ends before they are full.
        """

    def check(self, shard: int) -> None:
        """Refuse a shard that was written to after it was opened; called after the reads of a sample.

        Raises:
            ShardsError: the shard was changed.
        """


class Shards(Protocol):
    """The shards of a data set. Picklable; safe in threads."""

    def path(self, shard: int) -> StoragePath:
        """Return a shard's path or URI."""

    def read_batch(self, spans: Iterable[Span]) -> Iterable[Reads]:
        """Yield a reader for each sample of a batch, in order.

        Raises:
            ShardsError: on reaching a sample that cannot be read.
        """

    def read_sequential(self, spans: Iterable[Span]) -> Iterable[Reads]:
        """Yield the same for any number of samples, with few in memory at once."""

    def check_path(self, shard: int) -> None:
        """Refuse a shard whose file was replaced, for readers that open files themselves.

        Raises:
            ShardsError: the file is another one or missing.
        """


def too_short(place: StoragePath, missing: int) -> ShardsError:
    """Return the error for a shard that ends before the requested bytes."""
    return ShardsError(f"{place} ends {missing} bytes too early", "See lpff-shards verify")


def changed(place: StoragePath) -> ShardsError:
    """Return the error for a shard that was replaced after the data set was opened."""
    return ShardsError(f"{place} has changed since it was opened", "Open the data set again")
