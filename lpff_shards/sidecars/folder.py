"""What an export writes and where: shards, receipts, what lies beside them.

State lies in `.lpff-shards/`: plan.json (the plan that owns the folder), receipts/ and fields/ (one of each a finished
shard), and while a zip is being made parts/ (its finished parts with their receipts and fields); in folders also lock
and partial/ (files being written).
"""

from __future__ import annotations

import contextlib
import filecmp
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import blake3
from msgspec import Struct, structs

from lpff_shards.errors import Damaged, ExportFailed
from lpff_shards.formats.registry import index_names, is_shard_name
from lpff_shards.manifest import MANIFEST, Manifest, file_digest, from_json, parsed_manifest, to_json
from lpff_shards.schemas.filenames import FOLDERS, PART, REPORT_FOLDER, STATE_FOLDER, report_files
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.sample_index import row_groups
from lpff_shards.storage.background_sync import to_disk
from lpff_shards.storage.base import Storage, storage_of
from lpff_shards.storage.path import Place, is_file, names_in, on_disk, read_if_there, remove, whole
from lpff_shards.storage.prefetch import ahead

PLAN = f"{STATE_FOLDER}/plan.json"
RECEIPTS, FIELDS, PARTS = (f"{STATE_FOLDER}/{name}" for name in ("receipts", "fields", "parts"))


class Owner(Struct, frozen=True):
    """plan.json: the plan whose shards a folder holds.

    Attributes:
        rule: that its digest follows, see `planning.plan.DIGEST_RULE`.
        plan: its digest.
        options: as recorded, by which two plans are told apart.
        shards: names of its files.
        exclusions: `marks` of what --exclude named; withdrawn: of what updates took out since.
    """

    rule: int
    plan: str
    options: Mapping[str, Any]
    shards: tuple[str, ...]
    exclusions: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    @classmethod
    def told_by(cls, manifest: Manifest) -> Owner:
        """What the manifest of a finished export tells of its plan."""
        files = tuple(shard.file for shard in manifest.shards)
        known = (manifest.rule, manifest.plan, manifest.options, files)
        return cls(*known, manifest.exclusions, manifest.withdrawn)

    def forgotten(self, withdrawn: Iterable[str]) -> int:
        """How many ids were taken out by updates that these do not name."""
        return len(set(self.withdrawn).difference(marks(withdrawn)))


def marks(exclusions: Iterable[str]) -> tuple[str, ...]:
    """Hashes of excluded ids, by which an export knows them again without publishing whose photos were withdrawn."""
    return tuple(sorted(blake3.blake3(name.encode()).hexdigest(length=8) for name in exclusions))


def strangers(there: Iterable[str], name: str, known: Collection[str]) -> list[str]:
    """Of the names in a folder those that readers would take for shards of a data set, and that are not known ones."""
    return sorted(one for one in there if one.startswith(f"{name}-") and is_shard_name(one) and one not in known)


class Written(NamedTuple):
    """A file beside the shards, on disk.

    Attributes:
        digest: of it, see `manifest.file_digest`.
        changed: whether it was missing, or another one before.
    """

    digest: str
    changed: bool


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder or prefix that an export writes; cheap and picklable, it holds no state of its own."""

    root: Place

    @property
    def storage(self) -> Storage:
        """What writes there."""
        return storage_of(self.root)

    @property
    def plan_file(self) -> Place:
        """Where it says whose shards these are."""
        return self.root / PLAN

    def path(self, name: str) -> Place:
        """Where a finished shard lies, or a finished part of a zip."""
        return self.root / shard_name(name)

    def publish(
        self, finish: Callable[[], str], receipt: ShardReceipt, fields: bytes, beside: Mapping[str, bytes]
    ) -> None:
        """Give a whole shard its name by `finish`, then write its samples' fields, its index files and its receipt."""
        if receipt.file.endswith(PART):
            self.storage.make_folder(PARTS)
        mark = finish()
        self.storage.write(_fields(receipt.file), fields)
        for index, data in beside.items():
            self.storage.write(index, data)
        self.storage.write(_receipt(receipt.file), to_json(structs.replace(receipt, etag=mark) if mark else receipt))

    def write(self, name: str, data: bytes) -> Written:
        """Write a file beside the shards, unless it is there already: whole or not at all, and on disk on return.

        Raises:
            OSError: it cannot be written, or a store has another number of bytes than were sent.
        """
        changed = _read(self.root / name) != data
        if changed:
            self.storage.write_durably(name, data)
        else:
            # An earlier run may have been stopped before it was on disk.
            self.storage.settle((name, name.rpartition("/")[0]))
        return Written(file_digest(data), changed)

    def grow(self, name: str, write: Callable[[Path], None]) -> Written:
        """As `write`, for a file that `write` makes at a path of its own."""
        with self.storage.room(name) as growing:
            write(growing)
            written = Written(file_digest(whole(growing)), not _same(self.root / name, growing))
            if written.changed:
                to_disk(growing)
                self.storage.keep(growing, name)
        self.storage.settle(("",) if written.changed else (name, ""))
        return written

    def read_receipt(self, name: str) -> ShardReceipt | None:
        """A shard's receipt; None where it is missing or damaged."""
        data = read_if_there(self.root / _receipt(name))
        return None if data is None else from_json(data, ShardReceipt)

    def receipt(self, name: str) -> ShardReceipt:
        """As `read_receipt`, where it was there a moment ago.

        Raises:
            ExportFailed: it is not.
        """
        receipt = self.read_receipt(name)
        if receipt is None:
            raise self._changed(_receipt(name))
        return receipt

    def refuse_odd(self) -> None:
        """Refuse what is no folder, and links in place of the folders that an export keeps in its own.

        Raises:
            ShardsError: there is one.
        """
        inner = ("", "/partial", "/receipts", "/fields", "/parts", "/lock")
        self.storage.refuse_odd((*FOLDERS, REPORT_FOLDER, *(f"{STATE_FOLDER}{part}" for part in inner)))

    def with_receipts(self) -> set[str]:
        """Names of the shards and parts of zips that have a receipt."""
        names = (*names_in(self.root / RECEIPTS), *names_in(self.root / PARTS))
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def read_fields(self, receipt: ShardReceipt) -> bytes | None:
        """The fields of a shard's samples; None where they are missing, or not those that its receipt tells of."""
        data = read_if_there(self.root / _fields(receipt.file)) or b""
        return data if row_groups.digest(data) == receipt.fields else None

    def fields_changed(self, receipt: ShardReceipt) -> bool:
        """Whether the fields of a shard's samples are there and not those that its receipt tells of."""
        return is_file(self.root / _fields(receipt.file)) and self.read_fields(receipt) is None

    def fields(self, receipt: ShardReceipt) -> bytes:
        """As `read_fields`, where they were there a moment ago.

        Raises:
            ExportFailed: they are not.
        """
        data = self.read_fields(receipt)
        if data is None:
            raise self._changed(_fields(receipt.file))
        return data

    def _changed(self, name: str) -> ExportFailed:
        return ExportFailed(f"{self.root / name} was changed while the export ran", "Run the same command again")

    def finished(self) -> Manifest | None:
        """The manifest, where the export is finished; raises ShardsError where another version wrote it."""
        path = self.root / MANIFEST
        data = read_if_there(path)
        with contextlib.suppress(Damaged):
            return None if data is None else parsed_manifest(path, data)
        return None

    def owner(self) -> Owner | None:
        """Whose shards these are; None where plan.json is missing or damaged."""
        data = read_if_there(self.plan_file)
        return None if data is None else from_json(data, Owner)

    def own(self, owner: Owner, new: bool = False) -> bool:
        """Write whose shards these are to be; return whether it is certain that nobody else does so at the moment.

        Args:
            new: nobody's so far.

        Raises:
            FileExistsError: they have become someone's meanwhile.
        """
        # Without it the folder's shards would belong to nobody after a power cut.
        if new:
            return self.storage.create(PLAN, to_json(owner))
        self.storage.write_durably(PLAN, to_json(owner))
        return True

    def unfinish(self) -> None:
        """Take the manifest away, which says that the data set is whole, while shards are missing.

        It is gone from the disk too before a shard is replaced, so that no power cut brings it back beside others.
        """
        remove(self.root, [MANIFEST])
        self.storage.settle(("",))
        # A report shows pictures, some of which may have been withdrawn.
        remove(self.root / REPORT_FOLDER, [name.removeprefix(f"{REPORT_FOLDER}/") for name in report_files()])
        self.storage.remove_empty(REPORT_FOLDER)

    def drop_parts(self, names: Iterable[str]) -> None:
        """Remove parts of a zip that is whole, receipts first, and the folder of parts with the last of them."""
        gone = list(names)
        remove(self.root / PARTS, [f"{name}.json" for name in gone])
        remove(self.root / PARTS, [file for name in gone for file in (f"{name}.gz", name)])
        self.storage.remove_empty(PARTS)

    def sync(self, names: Sequence[str]) -> None:
        """Wait until shards with all that belongs to each are on disk: once, before the manifest appears."""
        files = [
            file for name in names for file in (shard_name(name), *index_names(name), _fields(name), _receipt(name))
        ]
        self.storage.settle(files)
        self.storage.settle(dict.fromkeys((*(file.rpartition("/")[0] for file in files), STATE_FOLDER, "")))


@dataclass(frozen=True, slots=True)
class Receipts(Sequence[ShardReceipt]):
    """The receipts of finished shards or parts of zips, each read when it is used.

    Those of a large data set take more memory than there is: 280 bytes a sample.
    """

    folder: OutputFolder
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, at: int) -> ShardReceipt: ...

    @overload
    def __getitem__(self, at: slice) -> Receipts: ...

    def __getitem__(self, at: int | slice) -> ShardReceipt | Receipts:
        chosen = self.names[at]
        return self.folder.receipt(chosen) if isinstance(chosen, str) else Receipts(self.folder, chosen)

    def __iter__(self) -> Iterator[ShardReceipt]:
        yield from ahead(self.folder.receipt, self.names)


def shard_name(name: str) -> str:
    """Where a finished shard or part of a zip lies, relative to the folder."""
    return f"{PARTS}/{name}" if name.endswith(PART) else name


def _receipt(name: str) -> str:
    return f"{PARTS if name.endswith(PART) else RECEIPTS}/{name}.json"


def _fields(name: str) -> str:
    """The fields of a shard's or part's samples, see `sidecars.sample_index.row_groups`."""
    return f"{PARTS if name.endswith(PART) else FIELDS}/{name}.gz"


def _same(path: Place, other: Path) -> bool:
    """Whether a file is there and equals another one; one that may not be read does not."""
    try:
        if not is_file(path):
            return False
        with on_disk(path) as before:
            return filecmp.cmp(before, other, shallow=False)
    except PermissionError:
        return False


def _read(path: Place) -> bytes | None:
    """All bytes of a file; None where it is not there, or may not be read and so is written anew."""
    try:
        return read_if_there(path)
    except PermissionError:
        return None
