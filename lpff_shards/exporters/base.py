"""What a format supplies; nothing here knows of files, temporary names or checksums."""

from __future__ import annotations

from typing import Protocol

from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import Sample


class Format(Protocol):
    """How samples become the bytes of a shard. Implementations are stateless."""

    @property
    def end(self) -> bytes:
        """What stands behind the last sample of a shard."""

    def encode(self, sample: Sample, layout: Layout) -> list[bytes]:
        """The bytes of one sample, in few pieces: a large picture is one of them and is not copied.

        Args:
            sample: to write; equal samples give equal bytes.
            layout: what every sample of the data set holds.
        """
