"""A shard's fields on their way into the ledger: one gzip of JSON lines, the values of `FIELDS` in their order.

Pieces of several shards one behind the other are a piece again.
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
"""gzip's, of level 1 and Unix: which system it names differs between systems, and between versions of Python."""


def encode(rows: Iterable[Row]) -> bytes:
    """Rows as a piece; equal rows give equal bytes."""
    encoder = msgspec.json.Encoder()
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(b"".join(encoder.encode(row) + b"\n" for row in rows)) + packer.flush()
    return _HEADER + packed[len(_HEADER) :]


def digest(piece: bytes) -> str:
    """A piece's digest, as its shard's receipt holds it: BLAKE3, 32 hex digits."""
    return blake3.blake3(piece).hexdigest(length=16)


def decode(piece: bytes) -> Iterator[Row]:
    """The rows of a piece, which is whole: receipts hold a digest of it. Memory holds those of one shard or part."""
    typed = GenericAlias(tuple, tuple(PYTHON_TYPES[field.kind] for field in FIELDS))
    decoder = msgspec.json.Decoder(typed)
    while piece:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        rows: list[Row] = decoder.decode_lines(member.decompress(piece))
        yield from rows
        piece = member.unused_data
