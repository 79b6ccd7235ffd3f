"""Writing shards that are encoded samples one behind the other, and an end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isal.isal_zlib import crc32
from msgspec import Struct

from lpff_shards.formats.base import Sink
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import Sample


class Encoded(Struct, frozen=True):
    """A sample's bytes.

    Attributes:
        pieces: one behind the other; a large picture is one of them and is not copied.
        suffixes: of its members, the picture's first: all of a tar's, picture and note in a part of a zip, the
            picture's alone of a record.
        sizes: payload bytes of each of these.
    """

    pieces: Sequence[bytes]
    suffixes: tuple[str, ...]
    sizes: tuple[int, ...]


class AppendingWriter:
    """A `ShardWriter` that keeps nothing back.

    Args:
        file: name of the shard.
        encode: gives equal bytes for equal samples.
        end: what stands behind the last sample.
    """

    def __init__(self, file: str, sink: Sink, encode: Callable[[Sample], Encoded], end: bytes = b"") -> None:
        self._file = file
        self._sink = sink
        self._encode = encode
        self._end = end
        self._written = ReceiptBuilder()

    def add(self, sample: Sample) -> int:
        """Write a sample; return its bytes."""
        encoded = self._encode(sample)
        crc = size = 0
        for piece in encoded.pieces:
            crc = crc32(piece, crc)
            size += len(piece)
        self._written.add(sample.key, self._written.at + size, encoded.suffixes, encoded.sizes, crc)
        self._sink.write(encoded.pieces)
        return size

    def close(self) -> ShardReceipt:
        """Write the end."""
        self._sink.write([self._end])
        return self._written.build(self._file, self._written.at + len(self._end))
