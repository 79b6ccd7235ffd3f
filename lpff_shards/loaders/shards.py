"""What reads shards, be they files or objects of a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from lpff_shards.errors import ShardsError
from lpff_shards.storage.path import Place


class Span(NamedTuple):
    """A stretch of a shard: its number, the byte at which it starts and the one behind its last."""

    shard: int
    start: int
    end: int


class Reads(Protocol):
    """Bytes of shards, or of the stretch of one that was fetched. Safe in threads."""

    def read(self, shard: int, at: int, size: int) -> bytes:
        """Bytes of a shard, fewer where it ends before.

        Raises:
            ShardsError: it cannot be read.
        """

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:
        """Fills buffers with a shard's bytes, one behind the other.

        Raises:
            ShardsError: it cannot be read, or ends before they are full.
        """

    def check(self, shard: int) -> None:
        """Refuse a shard that was written to since it was opened; called behind the reads of a sample.

        Raises:
            ShardsError: it was.
        """


class Shards(Protocol):
    """The shards of a data set. Picklable; safe in threads."""

    def path(self, shard: int) -> Place:
        """A shard's place."""

    def read_batch(self, spans: Iterable[Span]) -> Iterable[Reads]:
        """For each of a batch's samples what reads it, in their order.

        Raises:
            ShardsError: when it is a sample's turn that cannot be read.
        """

    def read_sequential(self, spans: Iterable[Span]) -> Iterable[Reads]:
        """The same for any number of samples, of which few are held at once."""

    def check_path(self, shard: int) -> None:
        """Refuse a shard whose path leads to another file now, for readers that open files themselves.

        Raises:
            ShardsError: it does, or the file is gone.
        """


def too_short(place: Place, missing: int) -> ShardsError:
    """The error for a shard that ends before the requested bytes."""
    return ShardsError(f"{place} ends {missing} bytes too early", "See lpff-shards verify")


def changed(place: Place) -> ShardsError:
    """The error for a shard that was replaced since the data set was opened."""
    return ShardsError(f"{place} has changed since it was opened", "Open the data set again")
