"""`samples` and `describe` of formats whose readers tell where each sample ends."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Sample


class Placed:
    """A part of a format, see `formats.base.Format`; of a sample's members it knows the picture alone."""

    def placed(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        """The samples of a finished file, each checked, with where it ends.

        Raises:
            SampleError: at the first that breaks the format or the schema.
        """
        raise NotImplementedError

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        return (sample for sample, _ in self.placed(shard, layout))

    def describe(self, file: str, shard: memoryview, layout: Layout) -> ShardReceipt:
        found = ReceiptBuilder()
        for sample, end in self.placed(shard, layout):
            add_picture(found, sample, end)
        return found.build(file, len(shard))


def add_picture(built: ReceiptBuilder, sample: Sample, end: int, crc: int = 0) -> None:
    """Add a sample of which the picture alone is told."""
    built.add(sample.key, end, (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),), crc)
