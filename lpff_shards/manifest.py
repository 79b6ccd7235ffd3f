"""The manifest of a data set and the receipts of its shards: frozen, checked on reading, equal for equal plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import blake3
import msgspec
from msgspec import Struct, structs

from lpff_shards.errors import ShardsError
from lpff_shards.options import Checksum, FormatName
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout
from lpff_shards.schemas.left_out import LeftOut, Tombstone
from lpff_shards.stores.errors import NO_BUCKET
from lpff_shards.stores.place import Place, place

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1

T = TypeVar("T")


class Outlined(Protocol):
    """What is where in a shard, as receipts tell it and as it can be read off the shard: see `ShardReceipt`."""

    @property
    def file(self) -> str: ...

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def offsets(self) -> tuple[int, ...]: ...

    @property
    def suffixes(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def members(self) -> tuple[tuple[int, ...], ...]: ...


class Outline(Struct, frozen=True):
    """What is where in a shard, read off the shard itself; fields as in `ShardReceipt`."""

    file: str
    keys: tuple[str, ...]
    offsets: tuple[int, ...]
    suffixes: tuple[tuple[str, ...], ...]
    members: tuple[tuple[int, ...], ...]


class ShardReceipt(Struct, frozen=True):
    """What one finished shard holds; written after the shard, bound to its plan.

    Attributes:
        file: its name.
        plan: digest of the plan it belongs to.
        sources: stamp of the source files it was made from, see `ShardTask.stamp`.
        samples, bytes: of the shard.
        checksum: of its bytes (hex), by `algorithm`.
        keys: of its samples, in order.
        offsets: where each sample starts, and the end of the last one: samples + 1 numbers.
        crcs: CRC-32 of each sample's bytes, which tells the wrong samples of a damaged shard.
        suffixes: the lists of members that samples have, picture first; one, unless pictures are of several kinds.
        members: of each sample the number of its list among `suffixes`, then each member's size in bytes.
        fields: digest of the samples' fields, which wait in a file of their own for the ledger, see `ledger.pieces`.
        skipped: samples planned and left out.
        sizes: of the pictures as stored: width, height, and how many samples have it.
        turned: samples whose stored file has an EXIF orientation other than 1.
    """

    file: str
    plan: str
    sources: str
    samples: int
    bytes: int
    algorithm: str
    checksum: str
    keys: tuple[str, ...]
    offsets: tuple[int, ...]
    crcs: tuple[int, ...]
    suffixes: tuple[tuple[str, ...], ...]
    members: tuple[tuple[int, ...], ...]
    fields: str
    skipped: tuple[LeftOut, ...] = ()
    sizes: tuple[tuple[int, int, int], ...] = ()
    turned: int = 0

    def fits(self, file: str, keys: Sequence[str]) -> bool:
        """Whether it can be the receipt of a file that was planned to hold these keys: nothing lost, nothing more."""
        lost = {skip.key for skip in self.skipped}
        return (
            self.file == file
            and list(self.keys) == [key for key in keys if key not in lost]
            and self.samples == len(self.keys) == len(keys) - len(self.skipped)
            and len(self.crcs) == len(self.members) == self.samples
            and all(_fits(self.suffixes, member) for member in self.members)
            and len(self.offsets) == self.samples + 1
            and list(self.offsets) == sorted({0, *self.offsets})
            and self.offsets[-1] <= self.bytes
        )


class StoredReceipt(ShardReceipt, frozen=True):
    """The receipt of a shard in a bucket.

    Attributes:
        etag: the store's mark of the shard's contents, by which it is known again without reading it.
    """

    etag: str = ""


def stored(receipt: ShardReceipt, etag: str) -> StoredReceipt:
    """A receipt with the store's mark of its shard."""
    return StoredReceipt(**structs.asdict(receipt), etag=etag)


def _fits(suffixes: tuple[tuple[str, ...], ...], member: tuple[int, ...]) -> bool:
    """Whether a sample's members are as many as its list names."""
    return bool(member) and 0 <= member[0] < len(suffixes) and len(member) == 1 + len(suffixes[member[0]])


class Shard(Struct, frozen=True):
    """A shard as the manifest lists it; `keys` is a digest of its samples' keys, see `keys_digest`."""

    file: str
    split: str
    samples: int
    bytes: int
    checksum: str
    keys: str


class Counts(Struct, frozen=True):
    """planned = written + skipped, in samples; `left_out` counts pictures refused before planning."""

    planned: int
    written: int
    skipped: int
    left_out: int


class Manifest(Struct, frozen=True):
    """All that a reader needs to know of a data set, `manifest.json`.

    Attributes:
        name, format: of the data set.
        samples: how many it holds.
        plan: digest of the plan (hex).
        checksum: algorithm of the shards' checksums.
        options: that decided what was written.
        layout: what every sample holds: raw, camera, landmarks, packed.
        counts, sources, licenses, splits: samples in all, by source, by licence and by split.
        filtered: pictures left out by the user's wish, by reason.
        shards: the shards in order.
        kinds, sizes: samples by the suffix and by the size of their picture, `512x512`, most first.
        turned: samples whose stored file has an EXIF orientation other than 1.
        lists: of a zip: its lists of names, the data set's own first, and how many names each holds in all splits.
        skipped: what was left out, and why.
        notes: what was missing in the sources.
        tombstones: what `export --update` took out of finished shards.
    """

    version: int
    schema: int
    generator: str
    name: str
    format: FormatName
    samples: int
    plan: str
    checksum: Checksum
    options: Mapping[str, Any]
    layout: Layout
    counts: Counts
    sources: Mapping[str, int]
    licenses: Mapping[str, int]
    splits: Mapping[str, int]
    filtered: Mapping[str, int]
    shards: tuple[Shard, ...]
    kinds: Mapping[str, int] = {}
    sizes: Mapping[str, int] = {}
    turned: int = 0
    lists: Mapping[str, int] = {}
    skipped: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()


def sizes_of(receipts: Iterable[ShardReceipt]) -> Counter[tuple[int, int]]:
    """Samples by the width and height of their picture."""
    sizes: Counter[tuple[int, int]] = Counter()
    for receipt in receipts:
        for width, height, count in receipt.sizes:
            sizes[width, height] += count
    return sizes


def keys_digest(keys: tuple[str, ...]) -> str:
    """A short digest of a shard's keys in order: BLAKE3 of the keys, each with a line feed, 32 hex digits."""
    return blake3.blake3("".join(f"{key}\n" for key in keys).encode()).hexdigest(length=16)


def checksum_lines(manifest: Manifest) -> str:
    """What SHA256SUMS holds, as `sha256sum -c` reads it."""
    return "".join(f"{shard.checksum}  {shard.file}\n" for shard in manifest.shards)


def to_json(value: object) -> bytes:
    """A manifest or receipt as JSON, the same bytes for equal values."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def from_json(data: bytes, type: type[T]) -> T | None:
    """The value, or None where the bytes are torn or of another shape."""
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None


def read_manifest(folder: str | Place) -> Manifest:
    """The manifest of a finished export.

    Raises:
        ShardsError: there is none, or it is not one that this version reads.
    """
    root = place(folder)
    path = root / MANIFEST
    if isinstance(root, Path) and not root.is_dir():
        raise ShardsError(f"{folder} is not a folder", "Give the folder that an export wrote")
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise ShardsError(f"{path} is not a regular file", "Export again into a fresh folder")
        data = path.read_bytes()
    except FileNotFoundError as error:
        if error.strerror == NO_BUCKET:
            raise ShardsError(f"{folder} cannot be read: {NO_BUCKET}", "Check its name and the endpoint") from None
        raise ShardsError(
            f"{folder} has no {MANIFEST}",
            "Its export has not finished: run it again to go on; or no export has written there",
        ) from None
    except OSError as error:
        hint = "Check its rights" if isinstance(root, Path) else "Check the credentials, the endpoint and the network"
        raise ShardsError(f"{path} cannot be read: {error.strerror}", hint) from None
    manifest = from_json(data, Manifest)
    if manifest is None or manifest.version != MANIFEST_VERSION:
        raise ShardsError(
            f"{path} is not a manifest of version {MANIFEST_VERSION}",
            "Run the export's command again, with --overwrite where it asks for it",
        )
    if manifest.schema != SCHEMA_VERSION:
        raise ShardsError(
            f"{path} has version {manifest.schema} of the fields, and this version reads {SCHEMA_VERSION}",
            f"Read it with {manifest.generator}, or export it again into another folder",
        )
    return manifest
