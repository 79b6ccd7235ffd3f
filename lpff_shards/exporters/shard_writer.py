"""Appending samples to a shard: few writes, no copies of pictures, checksums as the bytes go by."""

from __future__ import annotations

from collections.abc import Sequence

from isal.isal_zlib import crc32

from lpff_shards.storage.atomic_file import Growing
from lpff_shards.storage.checksums import Hasher

BLOCK = 1 << 20
"""Bytes gathered for one write: as many as stay in a core's own cache between the checksum and the write."""

MOST_PIECES = 512
"""Pieces written by one call; systems take 1,024 at most."""


class Appender:
    """Writes samples one behind the other.

    Args:
        shard: what they are written to.
        checksum: told every byte.

    Attributes:
        offsets: where each sample starts, and the end of the last one.
        crcs: CRC-32 of each sample's bytes.
    """

    def __init__(self, shard: Growing, checksum: Hasher) -> None:
        self._shard = shard
        self._checksum = checksum
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.offsets = [0]
        self.crcs: list[int] = []

    def add(self, pieces: Sequence[bytes]) -> int:
        """Appends a sample and returns its length in bytes."""
        crc = length = 0
        for piece in pieces:
            crc = crc32(piece, crc)
            length += len(piece)
        self.crcs.append(crc)
        self.offsets.append(self.offsets[-1] + length)
        self._queue(pieces, length)
        return length

    def finish(self, end: bytes) -> int:
        """Appends what stands behind the last sample, writes all that waits, and returns the file's length."""
        self._queue([end], len(end))
        self._flush()
        return self.offsets[-1] + len(end)

    def _queue(self, pieces: Sequence[bytes], length: int) -> None:
        self._waiting += pieces
        self._waiting_bytes += length
        if self._waiting_bytes >= BLOCK or len(self._waiting) >= MOST_PIECES:
            self._flush()

    def _flush(self) -> None:
        for start in range(0, len(self._waiting), MOST_PIECES):
            self._shard.write(self._waiting[start : start + MOST_PIECES])
        for piece in self._waiting:
            self._checksum.update(piece)
        self._waiting, self._waiting_bytes = [], 0
