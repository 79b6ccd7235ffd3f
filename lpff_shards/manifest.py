"""The manifest of a data set and the receipts of its shards: frozen, sealed, checked on reading, equal for equal plans.

The last line of each file is a seal, a digest of all that stands before it: a file of which one bit was changed is
not believed. Names of files in them are those that an export gives; others are refused before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, TypeVar

import blake3
import msgspec
from msgspec import Struct

from lpff_shards.errors import Damaged, ShardsError
from lpff_shards.formats.registry import NAMES, beside_names, is_shard_name
from lpff_shards.options.export import Checksum
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout
from lpff_shards.schemas.left_out import LeftOut, Tombstone
from lpff_shards.schemas.receipt import Natural
from lpff_shards.storage.path import Place, causes, exists, is_file, is_folder, is_remote, place
from lpff_shards.storage.requests import NO_BUCKET

MANIFEST = "manifest.json"
MANIFEST_VERSION = 2

T = TypeVar("T")

_SEALED = re.compile(rb',\n "seal": "([0-9a-f]{32})"\n}\n\Z')


class Shard(Struct, frozen=True):
    """A shard as the manifest lists it; `keys` is a digest of its samples' keys, see `keys_digest`."""

    file: str
    split: str
    samples: Natural
    bytes: Natural
    checksum: str
    keys: str


class Counts(Struct, frozen=True):
    """planned = written + skipped, in samples; `left_out` counts pictures refused before planning."""

    planned: Natural
    written: Natural
    skipped: Natural
    left_out: Natural


class Manifest(Struct, frozen=True):
    """All that a reader needs to know of a data set, `manifest.json`.

    Attributes:
        name, format: of the data set.
        samples: how many it holds.
        plan: digest of the plan (hex).
        checksum: algorithm of the shards' checksums.
        options: that decided what was written.
        layout: what every sample holds: raw, camera, landmarks, packed.
        counts, sources, licenses, splits: samples in all, by source, by license and by split.
        filtered: pictures left out by the user's wish, by reason.
        shards: the shards in order.
        files: digest of each file beside the shards, see `file_digest`, by its name.
        kinds, sizes: samples by the suffix and by the size of their picture, `512x512`, most first.
        turned: samples whose stored file has an EXIF orientation other than 1.
        lists: of a zip: its lists of names, the data set's own first, and how many names each holds in all splits.
        skipped: what was left out, and why.
        notes: what was missing in the sources.
        tombstones: what `export --update` took out of finished shards.
        rule: that the plan's digest follows, see `planning.plan.DIGEST_RULE`.
        exclusions: digests of what --exclude named; withdrawn: of what updates named since; see `sidecars.folder`.
    """

    version: int
    schema: int
    generator: str
    name: str
    format: str
    samples: Natural
    plan: str
    checksum: Checksum
    options: Mapping[str, Any]
    layout: Layout
    counts: Counts
    sources: Mapping[str, Natural]
    licenses: Mapping[str, Natural]
    splits: Mapping[str, Natural]
    filtered: Mapping[str, Natural]
    shards: tuple[Shard, ...]
    files: Mapping[str, str] = {}
    kinds: Mapping[str, Natural] = {}
    sizes: Mapping[str, Natural] = {}
    turned: Natural = 0
    lists: Mapping[str, Natural] = {}
    skipped: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    rule: int = 0
    exclusions: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


class ShareDone(Struct, frozen=True):
    """What became of a share.

    Attributes:
        manifest: of the whole export, where this share was the last; None where others are missing.
        written: shards, or parts of zips, of this share; shards: of all.
    """

    manifest: Manifest | None
    written: int
    shards: int


def keys_digest(keys: tuple[str, ...]) -> str:
    """A short digest of a shard's keys in order: BLAKE3 of the keys, each with a line feed, 32 hex digits."""
    return blake3.blake3("".join(f"{key}\n" for key in keys).encode()).hexdigest(length=16)


def checksum_lines(manifest: Manifest) -> str:
    """What SHA256SUMS holds, as `sha256sum -c` reads it."""
    return "".join(f"{shard.checksum}  {shard.file}\n" for shard in manifest.shards)


def file_digest(data: bytes | memoryview) -> str:
    """The digest of a file beside the shards: BLAKE3, 32 hex digits."""
    return blake3.blake3(data).hexdigest(length=16)


def to_json(value: Struct | Mapping[str, Any]) -> bytes:
    """A manifest, receipt or plan.json as sealed JSON, the same bytes for equal values."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=1).removesuffix(b"\n}")
    return b'%b,\n "seal": "%b"\n}\n' % (body, _seal(body))


def from_json(data: bytes, type: type[T]) -> T | None:
    """The value, or None where the bytes are not those that `to_json` gave, or of another shape."""
    sealed = _SEALED.search(data)
    if sealed is None or sealed[1] != _seal(data[: sealed.start()]):
        return None
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return None


def _seal(body: bytes) -> bytes:
    return blake3.blake3(body).hexdigest(length=16).encode()


class _Versions(Struct, frozen=True):
    """What every version of a manifest has."""

    version: int
    schema: int
    generator: str


def read_manifest(folder: str | Place) -> Manifest:
    """The manifest of a finished export.

    Raises:
        ShardsError: there is none, or it is not one that this version reads.
    """
    root = place(folder)
    path = root / MANIFEST
    try:
        if not is_remote(root) and not is_folder(root):
            raise ShardsError(f"{folder} is not a folder", "Give the folder that an export wrote")
        if not is_remote(path) and exists(path) and not is_file(path):
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
        raise ShardsError(f"{path} cannot be read: {error.strerror}", f"Check {causes(root)}") from None
    manifest = parsed_manifest(path, data)
    if manifest is None:
        raise Damaged(
            f"{path} is not what an export wrote: its seal or its contents are wrong",
            "Run the export's command again: it writes it anew",
        )
    return manifest


def parsed_manifest(path: Place, data: bytes) -> Manifest | None:
    """The manifest that a file holds; None where it is not what an export wrote.

    Raises:
        ShardsError: another version wrote it.
        Damaged: a name in it leads elsewhere.
    """
    _refuse_other_versions(path, data)
    manifest = from_json(data, Manifest)
    if manifest is None or manifest.format not in NAMES:
        return None
    if (name := _odd_name(manifest)) is not None:
        raise Damaged(
            f"{path} names {name!r}, which is not the name of a file of an export", "Run the export's command again"
        )
    return manifest


def _refuse_other_versions(path: Place, data: bytes) -> None:
    """Refuse a manifest that another version wrote.

    Raises:
        ShardsError: its version or that of its fields is not this one's.
    """
    try:
        found = msgspec.json.decode(data, type=_Versions)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        # It is damaged, or no manifest at all: the seal tells.
        return
    if found.version != MANIFEST_VERSION:
        raise ShardsError(
            f"{path} is a manifest of version {found.version}, and this version reads {MANIFEST_VERSION}",
            f"Read it with {found.generator}, or export it again into another folder",
        )
    if found.schema != SCHEMA_VERSION:
        raise ShardsError(
            f"{path} has version {found.schema} of the fields, and this version reads {SCHEMA_VERSION}",
            f"Read it with {found.generator}, or export it again into another folder",
        )


def _odd_name(manifest: Manifest) -> str | None:
    """The first name in a manifest that an export does not give; it may lead out of the folder."""
    shards = [shard.file for shard in manifest.shards]
    files = (*shards, *(gone.file for gone in manifest.tombstones if gone.file))
    words = (manifest.name, *manifest.splits, *(shard.split for shard in manifest.shards))
    known = beside_names(shards)
    return next(
        chain(
            (file for file in files if not is_shard_name(file, manifest.format)),
            (word for word in words if not re.fullmatch("[a-z][a-z0-9_]*", word)),
            (name for name in manifest.files if name not in known),
        ),
        None,
    )
