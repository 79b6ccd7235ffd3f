"""What a format supplies; nothing here knows of files, temporary names or checksums."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import Sample


class Encoded(Struct, frozen=True):
    """A sample's bytes.

    Attributes:
        pieces: one behind the other; a large picture is one of them and is not copied.
        suffixes: of its members in a tar, picture first; of a record, what the picture's would be.
        sizes: payload bytes of each of these.
    """

    pieces: list[bytes]
    suffixes: tuple[str, ...]
    sizes: tuple[int, ...]


class Format(Protocol):
    """How samples become the bytes of a shard. Implementations are stateless."""

    @property
    def end(self) -> bytes:
        """What stands behind the last sample of a shard."""

    def encode(self, sample: Sample, layout: Layout) -> Encoded:
        """The bytes of one sample, in few pieces.

        Args:
            sample: to write; equal samples give equal bytes.
            layout: what every sample of the data set holds.
        """
