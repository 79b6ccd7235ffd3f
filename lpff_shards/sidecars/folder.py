"""The output folder of an export: shards, receipts and sidecar files.

State is in `.lpff-shards/`: plan.json (the plan that owns the folder), receipts/ and fields/ (one file of each per
finished shard), and while a zip is being made parts/ (finished parts with their receipts and fields). In folders it
also contains lock and partial/ (files being written).
"""

from __future__ import annotations

import filecmp
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias
from typing import Any, NamedTuple, TypeVar

import blake3
import msgspec
from msgspec import Struct, structs

from lpff_shards.errors import Damaged, ExportFailed, ShardsError
from lpff_shards.formats.registry import index_names, is_shard_name
from lpff_shards.manifest import MANIFEST, Manifest, file_digest, from_json, parsed_manifest, to_json
from lpff_shards.schemas import fields as schema
from lpff_shards.schemas.filenames import FOLDERS, PART, REPORT_FOLDER, STATE_FOLDER, report_files
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.base import Storage
from lpff_shards.storage.local import to_disk
from lpff_shards.storage.path import (
    StoragePath,
    exists,
    is_file,
    is_folder,
    is_remote,
    names_in,
    on_disk,
    read_if_there,
    read_whole,
    remove,
    remove_empty,
)
from lpff_shards.storage.prefetch import prefetch
from lpff_shards.storage.prefix import storage_of

PLAN = f"{STATE_FOLDER}/plan.json"
RECEIPTS, FIELDS, PARTS = (f"{STATE_FOLDER}/{name}" for name in ("receipts", "fields", "parts"))

T = TypeVar("T")


class OutputState(Struct, frozen=True):
    """plan.json: the plan that owns a folder.

    Attributes:
        plan: its digest, by the rule `planning.plan.DIGEST_RULE`.
        options: recorded options, used to describe the difference of two plans.
        shards: names of its files.
        exclusions: `exclusion_hashes` of the ids in --exclude; withdrawn: of ids removed by later updates.
    """

    rule: int
    plan: str
    options: Mapping[str, Any]
    shards: tuple[str, ...]
    exclusions: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> OutputState:
        """Return the owner recorded in the manifest of a finished export."""
        files = tuple(shard.file for shard in manifest.shards)
        return cls(manifest.rule, manifest.plan, manifest.options, files, manifest.exclusions, manifest.withdrawn)

    def missing_exclusions(self, withdrawn: Iterable[str]) -> int:
        """Return how many ids that updates removed are missing from `withdrawn`."""
        return len(set(self.withdrawn).difference(exclusion_hashes(withdrawn)))


def exclusion_hashes(exclusions: Iterable[str]) -> tuple[str, ...]:
    """Return hashes of excluded ids, to recognize them without publishing the ids of withdrawn photos."""
    return tuple(sorted(blake3.blake3(name.encode()).hexdigest(length=8) for name in exclusions))


def unknown_files(there: Iterable[str], name: str, known: Collection[str]) -> list[str]:
    """Return the names in a folder that look like shards of the data set but are not in `known`."""
    return sorted(one for one in there if one.startswith(f"{name}-") and is_shard_name(one) and one not in known)


class Written(NamedTuple):
    """A sidecar file on disk: its `manifest.file_digest`, and whether it was missing or different before."""

    digest: str
    changed: bool


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder or prefix that an export writes; picklable and without state."""

    root: StoragePath

    @property
    def storage(self) -> Storage:
        return storage_of(self.root)

    @property
    def plan_file(self) -> StoragePath:
        return self.root / PLAN

    def path(self, name: str) -> StoragePath:
        """Return the path of a finished shard or part of a zip."""
        return self.root / shard_name(name)

    def publish(
        self, finish: Callable[[], str], receipt: ShardReceipt, fields: bytes, indexes: Mapping[str, bytes]
    ) -> None:
        """Give a complete shard its name by `finish`, then write its fields, index files and receipt."""
        mark = finish()
        self.storage.write(_fields(receipt.file), fields)
        for index, data in indexes.items():
            self.storage.write(index, data)
        self.storage.write(_receipt(receipt.file), to_json(structs.replace(receipt, etag=mark) if mark else receipt))

    def write(self, name: str, data: bytes) -> Written:
        """Write a sidecar file atomically unless it is unchanged, and sync it to disk."""
        before = None
        with suppress(PermissionError):
            before = read_if_there(self.root / name)
        if changed := before != data:
            self.storage.write(name, data, durable=True)
        else:
            # An earlier run may have stopped before the file was on disk.
            self.storage.sync((name, name.rpartition("/")[0]))
        return Written(file_digest(data), changed)

    def grow(self, name: str, write: Callable[[Path], None]) -> Written:
        """As `write`, for a file that `write` creates at a temporary path."""
        with self.storage.staging_path(name) as growing:
            write(growing)
            changed = True
            with suppress(PermissionError):
                if is_file(self.root / name):
                    with on_disk(self.root / name) as before:
                        changed = not filecmp.cmp(before, growing, shallow=False)
            digest = file_digest(read_whole(growing))
            if changed:
                to_disk(growing)
                self.storage.keep(growing, name)
        self.storage.sync(("",) if changed else (name, ""))
        return Written(digest, changed)

    def read_receipt(self, name: str) -> ShardReceipt | None:
        """Return a shard's receipt; None if it is missing or damaged."""
        data = read_if_there(self.root / _receipt(name))
        return None if data is None else from_json(data, ShardReceipt)

    def receipt(self, name: str) -> ShardReceipt:
        """As `read_receipt`; raise ExportFailed if it is missing or damaged."""
        return self._unchanged(_receipt(name), self.read_receipt(name))

    def read_fields(self, receipt: ShardReceipt) -> bytes | None:
        """Return the fields of a shard's samples, see `encode_rows`; None if missing or not those of its receipt."""
        data = read_if_there(self.root / _fields(receipt.file)) or b""
        return data if file_digest(data) == receipt.fields else None

    def fields(self, receipt: ShardReceipt) -> bytes:
        """As `read_fields`; raise ExportFailed if they are missing or do not match the receipt."""
        return self._unchanged(_fields(receipt.file), self.read_fields(receipt))

    def fields_changed(self, receipt: ShardReceipt) -> bool:
        """Return whether the fields of a shard's samples exist but do not match its receipt."""
        return is_file(self.root / _fields(receipt.file)) and self.read_fields(receipt) is None

    def _unchanged(self, name: str, found: T | None) -> T:
        if found is None:
            raise ExportFailed(f"{self.root / name} was changed while the export ran", "Run the same command again")
        return found

    def with_receipts(self) -> set[str]:
        """Return the names of shards and parts of zips that have a receipt."""
        names = (*names_in(self.root / RECEIPTS), *names_in(self.root / PARTS))
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def refuse_odd(self) -> None:
        """Raise ShardsError for an output that is not a folder, and for links in place of an export's own folders."""
        if not is_remote(self.root) and exists(self.root) and not is_folder(self.root):
            raise ShardsError(f"--out {self.root} is not a folder", "Give a folder; it is created if it is missing")
        inner = ("", "/partial", "/receipts", "/fields", "/parts", "/lock")
        for name in (*FOLDERS, REPORT_FOLDER, *(f"{STATE_FOLDER}{part}" for part in inner)):
            path = self.root / name
            # An unreadable folder is not writable either; the write reports it.
            with suppress(OSError):
                if path.is_symlink():
                    raise ShardsError(f"{path} is a link", "Put a folder in its place, or remove it")

    def finished(self) -> Manifest | None:
        """Return the manifest of a finished export, else None; raise ShardsError if another version wrote it."""
        path = self.root / MANIFEST
        data = read_if_there(path)
        with suppress(Damaged):
            return None if data is None else parsed_manifest(path, data)
        return None

    def owner(self) -> OutputState | None:
        """Return the owner of the shards; None if plan.json is missing or damaged."""
        data = read_if_there(self.plan_file)
        return None if data is None else from_json(data, OutputState)

    def own(self, owner: OutputState, new: bool = False) -> bool:
        """Write plan.json; return whether no other export can have written it at the same time.

        With `new`, raise FileExistsError if another export has created it.
        """
        if new:
            return self.storage.create(PLAN, to_json(owner))
        self.storage.write(PLAN, to_json(owner), durable=True)
        return True

    def unfinish(self) -> None:
        """Remove the manifest, which marks the data set as complete, before a shard is replaced; sync the removal."""
        remove(self.root, [MANIFEST])
        self.storage.sync(("",))
        # A report may show withdrawn pictures.
        remove(self.root / REPORT_FOLDER, [name.removeprefix(f"{REPORT_FOLDER}/") for name in report_files()])
        remove_empty(self.root / REPORT_FOLDER)

    def drop_parts(self, names: Sequence[str]) -> None:
        """Remove the parts of a complete zip, receipts first, and then the folder of parts if empty."""
        remove(self.root / PARTS, [f"{name}.json" for name in names])
        remove(self.root / PARTS, [file for name in names for file in (f"{name}.gz", name)])
        remove_empty(self.root / PARTS)

    def sync(self, names: Sequence[str]) -> None:
        """Sync shards with their index files, fields and receipts to disk, once before the manifest is written."""
        files = [
            file for name in names for file in (shard_name(name), *index_names(name), _fields(name), _receipt(name))
        ]
        self.storage.sync(files)
        self.storage.sync(dict.fromkeys((*(file.rpartition("/")[0] for file in files), STATE_FOLDER, "")))


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of finished shards or parts of zips, read at each iteration: all would not fit in memory."""

    folder: OutputFolder
    names: Sequence[str]

    def __iter__(self) -> Iterator[ShardReceipt]:
        yield from prefetch(self.folder.receipt, self.names)


def shard_name(name: str) -> str:
    """Return the path of a finished shard or part of a zip, relative to the folder."""
    return f"{PARTS}/{name}" if name.endswith(PART) else name


def _receipt(name: str) -> str:
    return f"{PARTS if name.endswith(PART) else RECEIPTS}/{name}.json"


def _fields(name: str) -> str:
    return f"{PARTS if name.endswith(PART) else FIELDS}/{name}.gz"


Row = tuple[schema.Scalar, ...]
"""A sample's scalars in the order of `schemas.fields.FIELDS`."""
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\4\3"
"""The gzip header of level 1 and Unix: zlib's own varies between systems and versions of Python."""


def row_of(scalars: Mapping[str, schema.Scalar]) -> Row:
    """Return the row of a sample's scalars; fields of one data set alone are not in it."""
    return tuple(scalars.values())[: len(schema.FIELDS)]


def encode_rows(rows: Iterable[Row]) -> bytes:
    """Return the file of a shard's fields: its rows as gzipped JSON lines; equal rows give equal bytes.

    Concatenated files are the file of all their rows.
    """
    encoder = msgspec.json.Encoder()
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(b"".join(encoder.encode(row) + b"\n" for row in rows)) + packer.flush()
    return _HEADER + packed[len(_HEADER) :]


def decode_rows(group: bytes) -> Iterator[Row]:
    """Yield the rows of such a file; memory holds those of one shard or part at a time."""
    typed = GenericAlias(tuple, tuple(schema.PYTHON_TYPES[field.kind] for field in schema.FIELDS))
    decoder = msgspec.json.Decoder(typed)
    while group:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        rows: list[Row] = decoder.decode_lines(member.decompress(group))
        yield from rows
        group = member.unused_data
