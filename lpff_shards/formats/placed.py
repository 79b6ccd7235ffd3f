"""What most formats have in common: readers that tell where each sample ends, and no members, indexes or spans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from lpff_shards.formats.spans import Spans
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Sample


class Placed(ABC):
    """A part of a format, see `formats.base.Format`; of a sample's members it knows the picture alone."""

    @abstractmethod
    def placed(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        """The samples of a finished file, each checked, with where it ends.

        Raises:
            SampleError: at the first that breaks the format or the schema.
        """

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        return (sample for sample, _ in self.placed(shard, layout))

    def describe(self, file: str, shard: memoryview, layout: Layout) -> ShardReceipt:
        found = ReceiptBuilder()
        for sample, end in self.placed(shard, layout):
            add_picture(found, sample, end)
        return found.build(file, len(shard))

    def index_names(self, file: str) -> tuple[str, ...]:  # noqa: ARG002  # the file tells where its samples are
        return ()

    def spans(self) -> Spans | None:
        return None

    def picture_bytes(self, sample: bytes, start: int, size: int, raw: bool) -> bytes:  # noqa: ARG002  # it is last
        return sample[-size:]

    def member(self, key: str, suffix: str) -> None:  # noqa: ARG002  # there are none by key
        return None


def add_picture(built: ReceiptBuilder, sample: Sample, end: int, crc: int = 0) -> None:
    """Add a sample of which the picture alone is told."""
    built.add(sample.key, end, (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),), crc)
