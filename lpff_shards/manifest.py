"""The manifest of a data set and its sealed JSON, checked on reading and equal for equal plans.

The last line of each file is a seal, a digest of the preceding bytes: a file with one changed bit is refused. File
names must be those of an export; others are refused before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import blake3
import msgspec
from msgspec import Struct

from lpff_shards.errors import Damaged, ShardsError
from lpff_shards.formats.registry import NAMES, beside_names, is_shard_name
from lpff_shards.options.export import Checksum
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout
from lpff_shards.schemas.receipt import Natural
from lpff_shards.schemas.record import LeftOut, Tombstone
from lpff_shards.storage.bucket import NO_BUCKET
from lpff_shards.storage.path import StoragePath, causes, exists, is_file, is_folder, is_remote, place

MANIFEST = "manifest.json"
MANIFEST_VERSION = 2

T = TypeVar("T")

_SEALED = re.compile(rb',\n "seal": "([0-9a-f]{32})"\n}\n\Z')


class Shard(Struct, frozen=True):
    """A shard in the manifest; `keys` is a digest of its samples' keys, see `keys_digest`."""

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
    """Description of a data set for its readers, `manifest.json`.

    Attributes:
        name, format: of the data set.
        samples: number of samples.
        plan: digest of the plan (hex).
        checksum: algorithm of the shards' checksums.
        options: options that determined the output.
        layout: contents of every sample: raw, camera, landmarks, packed.
        counts, sources, licenses, splits: samples in total, by source, by license and by split.
        filtered: pictures filtered by the user's options, by reason.
        shards: the shards in order.
        files: digest of each sidecar file, see `file_digest`, by name.
        kinds, sizes: samples by the suffix and by the size of their picture, `512x512`, most first.
        turned: samples whose stored file has an EXIF orientation other than 1.
        lists: lists of names in a zip, the data set's own first, with their number of names in all splits.
        skipped: pictures and samples left out, with reasons.
        notes: notes about the sources.
        tombstones: samples that `export --update` removed from finished shards.
        rule: rule of the plan's digest, see `planning.plan.DIGEST_RULE`.
        exclusions: digests of ids in --exclude; withdrawn: of ids in later updates; see `sidecars.folder`.
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
    """The shards, or parts of zips, that a task of `--task I/N` wrote, of all; the last task returns the manifest."""

    manifest: Manifest | None
    written: int
    shards: int


def keys_digest(keys: Sequence[str]) -> str:
    """Return a digest of a shard's keys in order: BLAKE3 of the keys, each with a line feed, 32 hex digits."""
    return file_digest("".join(f"{key}\n" for key in keys).encode())


def file_digest(data: bytes | memoryview) -> str:
    """Return the digest of a sidecar file, or the seal of sealed JSON: BLAKE3, 32 hex digits."""
    return blake3.blake3(data).hexdigest(length=16)


def to_json(value: Struct | Mapping[str, Any]) -> bytes:
    """Return a manifest, receipt or plan.json as sealed JSON; equal values give equal bytes."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=1).removesuffix(b"\n}")
    return b'%b,\n "seal": "%b"\n}\n' % (body, file_digest(body).encode())


def from_json(data: bytes, type: type[T]) -> T | None:
    """Decode sealed JSON; return None if the seal or the structure is wrong."""
    sealed = _SEALED.search(data)
    if sealed is None or sealed[1].decode() != file_digest(data[: sealed.start()]):
        return None
    return _decoded(data, type)


def _decoded(data: bytes, type: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


class _Versions(Struct, frozen=True):
    """The fields that every version of a manifest has."""

    version: int
    schema: int
    generator: str


def read_manifest(folder: str | StoragePath) -> Manifest:
    """Read the manifest of a finished export.

    Raises:
        ShardsError: it is missing, unreadable, damaged or of another version.
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
        hint = "Run its export again to finish it, or give the folder of an export"
        raise ShardsError(f"{folder} has no {MANIFEST}", hint) from None
    except OSError as error:
        raise ShardsError(f"{path} cannot be read: {error.strerror}", f"Check {causes(root, writing=False)}") from None
    manifest = parsed_manifest(path, data)
    if manifest is None:
        raise Damaged(
            f"{path} is not what an export wrote: its seal or its contents are wrong",
            "Run the export's command again to rewrite it",
        )
    return manifest


def parsed_manifest(path: StoragePath, data: bytes) -> Manifest | None:
    """Parse a manifest; return None if it is not what an export wrote.

    Raises:
        ShardsError: another version wrote it.
        Damaged: it contains a name that no export gives.
    """
    # Bytes that have no version are damaged or no manifest: the check of the seal refuses them.
    found = _decoded(data, _Versions)
    if found is not None and (found.version, found.schema) != (MANIFEST_VERSION, SCHEMA_VERSION):
        raise ShardsError(
            f"{path} is a manifest of version {found.version}, and this version reads {MANIFEST_VERSION}"
            if found.version != MANIFEST_VERSION
            else f"{path} has version {found.schema} of the fields, and this version reads {SCHEMA_VERSION}",
            f"Read it with {found.generator}, or export it again into another folder",
        )
    manifest = from_json(data, Manifest)
    if manifest is None:
        return None
    if manifest.format not in NAMES:
        raise ShardsError(f"{path} is of format {manifest.format!r}, which is not installed", "Install its package")
    # A name that no export gives might point outside the folder.
    shards = [shard.file for shard in manifest.shards]
    files = (*shards, *(gone.file for gone in manifest.tombstones if gone.file))
    words = (manifest.name, *manifest.splits, *(shard.split for shard in manifest.shards))
    known = beside_names(shards)
    odd = [file for file in files if not is_shard_name(file, manifest.format)]
    odd += [word for word in words if not re.fullmatch("[a-z][a-z0-9_]*", word)]
    odd += [name for name in manifest.files if name not in known]
    if odd:
        reason = f"{path} names {odd[0]!r}, which is not the name of a file of an export"
        raise Damaged(reason, "Run the export's command again")
    return manifest
