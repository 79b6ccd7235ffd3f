"""Receipts: the contents of each finished shard, collected while its samples are written or read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from lpff_shards.schemas.record import LeftOut
from lpff_shards.schemas.sample import SUFFIXES

Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number of bytes or samples."""


class ShardReceipt(Struct, frozen=True, kw_only=True):
    """The contents of one finished shard; written after the shard, bound to its plan.

    Attributes:
        file: name of the shard.
        plan: digest of the plan it belongs to.
        sources: stamp of the source files it was made from, see `ShardTask.stamp`.
        samples, bytes: of the shard.
        checksum: of its bytes (hex), by `algorithm`.
        keys: of its samples, in order.
        offsets: start of each sample, and the end of the last one: samples + 1 numbers.
        crcs: CRC-32 of each sample's bytes, to find the bad samples of a damaged shard.
        suffixes: the lists of the samples' members, picture first; several only for mixed picture types.
        members: for each sample the index of its list in `suffixes`, then each member's size in bytes.
        fields: digest of the samples' fields, see `sidecars.folder.encode_rows`.
        skipped: samples planned and left out.
        sizes: of the stored pictures: width, height, number of samples.
        turned: samples whose stored file has an EXIF orientation other than 1.
        etag: the store's ETag of the shard, to recognize it without reading it; buckets only.
    """

    file: str
    plan: str = ""
    sources: str = ""
    samples: Natural
    bytes: Natural
    algorithm: str = ""
    checksum: str = ""
    keys: tuple[str, ...]
    offsets: tuple[Natural, ...]
    crcs: tuple[Natural, ...]
    suffixes: tuple[tuple[str, ...], ...]
    members: tuple[tuple[Natural, ...], ...]
    fields: str = ""
    skipped: tuple[LeftOut, ...] = ()
    sizes: tuple[tuple[Natural, Natural, Natural], ...] = ()
    turned: Natural = 0
    etag: str | UnsetType = UNSET

    def fits(self, file: str, keys: Sequence[str]) -> bool:
        """Return whether this is a valid receipt of a file that was planned to hold exactly these keys."""
        lost = {skip.key for skip in self.skipped}
        known = {(number, 1 + len(names)) for number, names in enumerate(self.suffixes)}
        return (
            self.file == file
            and list(self.keys) == [key for key in keys if key not in lost]
            and self.samples == len(self.keys) == len(keys) - len(self.skipped)
            and len(self.crcs) == len(self.members) == self.samples
            and all((*member[:1], len(member)) in known for member in self.members)
            and all(names and names[0] in SUFFIXES.values() for names in self.suffixes)
            and sum(count for _, _, count in self.sizes) == self.samples >= self.turned
            and len(self.offsets) == self.samples + 1
            and list(self.offsets) == sorted({0, *self.offsets})
            and self.offsets[-1] <= self.bytes
        )


class ReceiptBuilder:
    """Collect the receipt of a shard, one sample after another; `at` is the offset of the next one."""

    def __init__(self) -> None:
        self.at = 0
        self._keys: list[str] = []
        self._offsets = [0]
        self._crcs: list[int] = []
        self._lists: dict[tuple[str, ...], int] = {}
        self._members: list[tuple[int, ...]] = []

    def add(self, key: str, end: int, suffixes: tuple[str, ...], sizes: Sequence[int], crc: int = 0) -> None:
        """Add a sample that starts at the end of the previous one.

        Args:
            end: offset of its end.
            suffixes, sizes: of its members, the picture's first.
            crc: CRC-32 of its bytes.
        """
        self.at = end
        self._keys.append(key)
        self._offsets.append(end)
        self._crcs.append(crc)
        self._members.append((self._lists.setdefault(suffixes, len(self._lists)), *sizes))

    def __len__(self) -> int:
        return len(self._keys)

    def build(self, file: str, size: int) -> ShardReceipt:
        """Return the receipt of a shard of `size` bytes; the caller adds plan, checksum and fields."""
        return ShardReceipt(
            file=file,
            samples=len(self._keys),
            bytes=size,
            keys=tuple(self._keys),
            offsets=tuple(self._offsets),
            crcs=tuple(self._crcs),
            suffixes=tuple(self._lists),
            members=tuple(self._members),
        )


def sizes_of(receipts: Iterable[ShardReceipt]) -> Counter[tuple[int, int]]:
    """Count samples by the width and height of their picture."""
    sizes: Counter[tuple[int, int]] = Counter()
    for receipt in receipts:
        for width, height, count in receipt.sizes:
            sizes[width, height] += count
    return sizes
