"""TFRecord: one tf.train.Example per sample, features sorted by name, framed with masked CRC-32C.

A frame is the length of the data, its masked CRC-32C, the data, and their masked CRC-32C; little-endian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise

import google_crc32c
import numpy as np

from lpff_shards.formats import examples
from lpff_shards.formats.base import Annotations, AppendingWriter, Encoded, ImageSpan, Offsets, Sink, Spans, payload
from lpff_shards.formats.errors import FormatError
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.filenames import DALI
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.sample import Sample

FRAMING = 16
_LENGTH_BYTES, _CRC_BYTES = 12, 4


class TfRecord(examples.ExampleFormat, Spans):
    """Deterministic Examples, in files named by TensorFlow Datasets' template."""

    name, title, tag = "tfrecord", "TFRecords", "tfrecord"
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

    def overhead(self, layout: Layout) -> int:
        return super().overhead(layout) + FRAMING

    def writer(self, file: str, sink: Sink, layout: Layout) -> AppendingWriter:
        return AppendingWriter(file, sink, partial(_encoded, layout))

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        for at, data in records(shard):
            yield examples.decode_sample(bytes(data), layout), at + len(data) + FRAMING

    def picture(self, head: bytes, size: int, raw: bool) -> ImageSpan | None:
        if int.from_bytes(head[:8], "little") + FRAMING != size:
            raise FormatError("the sample is not one whole record", 0)
        return examples.find_picture(head, _LENGTH_BYTES, raw)

    def annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        return examples.decode_annotations(head, _LENGTH_BYTES, tail[:-_CRC_BYTES], layout, scalars)

    def channels_of(self, sample: bytes, layout: Layout) -> Mapping[str, bytes]:
        return examples.decode_annotations(sample[:-_CRC_BYTES], _LENGTH_BYTES, b"", layout, False).channels

    def offsets(self, index: bytes) -> Offsets:
        """Read DALI's index: one line per record, its offset and its length."""
        spans = np.array(index.decode().split(), np.int64).reshape(-1, 2)
        return np.append(spans[:, 0], spans[-1:].sum())

    def scan(self, read: Callable[[int, int], bytes]) -> Iterator[int]:
        at = 0
        while head := read(at, 8):
            yield at
            at += int.from_bytes(head, "little") + FRAMING
        yield at


def _encoded(layout: Layout, sample: Sample) -> Encoded:
    data = examples.encode_sample(sample, layout)
    head, tail = frame(data)
    return Encoded([head, *data, tail], *payload(sample, layout))


def masked(crc: int) -> bytes:
    """Return TFRecord's masked CRC-32C, little-endian: rotated right by 15 bits, plus a constant."""
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def frame(parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the 12 bytes before and the 4 bytes after a record's data, which is in pieces to save a copy."""
    length, crc = sum(map(len, parts)).to_bytes(8, "little"), 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    return length + masked(google_crc32c.value(length)), masked(crc)


def records(file: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the offset and data of each record of a file; raise FormatError at a damaged one."""
    at = 0
    while at < len(file):
        head = bytes(file[at : at + _LENGTH_BYTES])
        if len(head) < _LENGTH_BYTES:
            raise FormatError("the file is cut short inside a record's length", at)
        if masked(google_crc32c.value(head[:8])) != head[8:]:
            raise FormatError("a record's length does not match its CRC", at)
        end = at + _LENGTH_BYTES + int.from_bytes(head[:8], "little")
        data, tail = file[at + _LENGTH_BYTES : end], bytes(file[end : end + _CRC_BYTES])
        if len(tail) < _CRC_BYTES:
            raise FormatError("the file is cut short inside a record", at)
        if masked(google_crc32c.value(bytes(data))) != tail:
            raise FormatError("a record's data does not match its CRC", at)
        yield at, data
        at = end + _CRC_BYTES
