"""TFRecord: one tf.train.Example per sample, features sorted by name, framed with masked CRC-32C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from lpff_shards.formats import examples
from lpff_shards.formats.base import AppendingWriter, Encoded, Format, Sink
from lpff_shards.formats.containers import example, tfrecord
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.spans import Annotations, ImageSpan, Offsets
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.filenames import DALI
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Sample

_LENGTH, _CRC = 12, 4


class TfRecord(Format):
    """Deterministic Examples, in files named by TensorFlow Datasets' template."""

    name, title, tag = "tfrecord", "TFRecords", "tfrecord"
    note, raw = examples.NOTE, True
    readers = ("tensorflow", "tfds")
    pattern, glob = r"\.tfrecord-[0-9]+-of-[0-9]+", ".tfrecord-*"
    end = b""

    def filename(self, stem: str, number: int, count: int) -> str:
        return f"{stem}.tfrecord-{number:05d}-of-{count:05d}"

    def index_names(self, file: str) -> tuple[str, ...]:
        return (f"{DALI}/{file.replace('.tfrecord-', '-')}.idx",)

    def indexes(self, shard: ShardReceipt) -> tuple[bytes, ...]:
        """Return the index for DALI's `fn.readers.tfrecord`: offset and length of each record with its framing."""
        spans = pairwise(shard.offsets)
        return ("".join(f"{start} {end - start}\n" for start, end in spans).encode(),)

    def loading(self) -> str:
        return Path(__file__).with_suffix(".md").read_text("utf-8")

    def overhead(self, layout: Layout) -> int:
        return super().overhead(layout) + tfrecord.FRAMING

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # a feature has no suffix
        return examples.holds(layout)

    def writer(self, file: str, sink: Sink, layout: Layout) -> AppendingWriter:
        return AppendingWriter(file, sink, partial(_encoded, layout))

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        for at, data in tfrecord.records(shard):
            yield examples.decode_sample(bytes(data), layout), at + len(data) + tfrecord.FRAMING

    def spans(self) -> TfRecord:
        return self

    def picture(self, head: bytes, size: int, raw: bool) -> ImageSpan | None:
        if int.from_bytes(head[:8], "little") + tfrecord.FRAMING != size:
            raise FormatError("the sample is not one whole record", 0)
        return examples.find_picture(head, _LENGTH, raw)

    def annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        parts = ((head, example.open_example(head, _LENGTH)), (tail[:-_CRC], 0))
        return examples.decode_annotations(parts, layout, scalars)

    def offsets(self, index: bytes) -> Offsets:
        """Read DALI's index: one line per record, its offset and its length."""
        spans = np.array(index.decode().split(), np.int64).reshape(-1, 2)
        return np.append(spans[:, 0], spans[-1:].sum())

    def scan(self, read: Callable[[int, int], bytes]) -> Iterator[int]:
        at = 0
        while head := read(at, 8):
            yield at
            at += int.from_bytes(head, "little") + tfrecord.FRAMING
        yield at


def _encoded(layout: Layout, sample: Sample) -> Encoded:
    data = examples.encode_sample(sample, layout)
    head, tail = tfrecord.frame(data)
    return Encoded([head, *data, tail], (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),))
