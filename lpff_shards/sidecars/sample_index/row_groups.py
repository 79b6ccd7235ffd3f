"""Row groups: a shard's fields before they go into samples.sqlite, as gzipped JSON lines in the order of `FIELDS`.

Concatenated groups of several shards are a group again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from types import GenericAlias

import blake3
import msgspec

from lpff_shards.schemas.fields import FIELDS, PYTHON_TYPES, Scalar

Row = tuple[Scalar, ...]
"""A sample's scalars in the order of `FIELDS`."""

_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\4\3"
"""The gzip header of level 1 and Unix: zlib's own varies between systems and versions of Python."""


def encode(rows: Iterable[Row]) -> bytes:
    """Return rows as a row group; equal rows give equal bytes."""
    encoder = msgspec.json.Encoder()
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(b"".join(encoder.encode(row) + b"\n" for row in rows)) + packer.flush()
    return _HEADER + packed[len(_HEADER) :]


def digest(piece: bytes) -> str:
    """Return a row group's digest, as in its shard's receipt: BLAKE3, 32 hex digits."""
    return blake3.blake3(piece).hexdigest(length=16)


def decode(piece: bytes) -> Iterator[Row]:
    """Yield the rows of a complete row group; memory holds those of one shard or part at a time."""
    typed = GenericAlias(tuple, tuple(PYTHON_TYPES[field.kind] for field in FIELDS))
    decoder = msgspec.json.Decoder(typed)
    while piece:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        rows: list[Row] = decoder.decode_lines(member.decompress(piece))
        yield from rows
        piece = member.unused_data
