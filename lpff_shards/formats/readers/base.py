"""What readers hand out, and where a fault lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import Sample


class SampleError(Exception):
    """A shard that breaks its format or schema at one of its samples.

    Args:
        reason: what is wrong.
        number: of the sample in its shard, from 0.
        key: of the sample, empty where the damage hides it.
    """

    def __init__(self, reason: str, number: int, key: str = "") -> None:
        super().__init__(reason, number, key)
        self.reason = reason
        self.number = number
        self.key = key


class Reader(Protocol):
    """Reads the samples of one shard, in order."""

    def __call__(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        """The samples of a shard.

        Raises:
            SampleError: at the first one that breaks the format or the schema.
        """
