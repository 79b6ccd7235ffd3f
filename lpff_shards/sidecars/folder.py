"""What an export writes and where: shards, receipts, what lies beside them; in a folder or below a bucket's prefix.

State lies in `.lpff-shards/`: plan.json (the plan that owns the folder), lock, partial/ (shards being written),
receipts/ and fields/ (one of each a finished shard), and while a zip is being made parts/ (its finished parts with
their receipts and fields). A bucket has neither a lock nor anything partial.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import platform
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from lpff_shards.errors import Damaged, ExportFailed, ShardsError
from lpff_shards.formats.registry import index_names
from lpff_shards.manifest import (
    MANIFEST,
    Manifest,
    file_digest,
    from_json,
    parsed_manifest,
    to_json,
)
from lpff_shards.schemas.filenames import FOLDERS, PART, REPORT_FOLDER, STATE_FOLDER, report_files
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.owner import Owner
from lpff_shards.sidecars.sample_index import row_groups
from lpff_shards.storage.atomic_file import Growing, GrowingFile, Whole, WholeFile
from lpff_shards.storage.background_sync import to_disk
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import Place, exists, is_file, names_in, on_disk, read_if_there, remove, scratch, whole
from lpff_shards.storage.prefetch import ahead
from lpff_shards.storage.uploads import Upload, check_size

_SYNCED_AT_ONCE = 8
A_DAY = 86_400.0
"""Seconds after which a partial file of a machine that cannot be asked is taken for left behind."""


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
    def state(self) -> Place:
        """The folder of our own files in it."""
        return self.root / STATE_FOLDER

    @property
    def plan_file(self) -> Place:
        """Where it says whose shards these are."""
        return self.state / "plan.json"

    def path(self, name: str) -> Place:
        """Where a finished shard lies, or a finished part of a zip."""
        return (self.parts if name.endswith(PART) else self.root) / name

    def receipt(self, name: str) -> Place:
        """The receipt of a shard or part."""
        return (self.parts if name.endswith(PART) else self.receipts) / f"{name}.json"

    @property
    def receipts(self) -> Place:
        """The folder of the shards' receipts."""
        return self.state / "receipts"

    @property
    def parts(self) -> Place:
        """The folder of the parts of zips, each with its receipt."""
        return self.state / "parts"

    def _fields(self, name: str) -> Place:
        """The fields of a shard's or part's samples, see `sidecars.sample_index.row_groups`."""
        return (self.parts if name.endswith(PART) else self.state / "fields") / f"{name}.gz"

    def partial(self, name: str) -> Path:
        """Where a file of a folder grows before it gets its final name.

        It is the process's own: a worker whose parent was killed may still be at the same shard, and shares of the
        export run on other machines.
        """
        assert isinstance(self.state, Path), "nothing of a bucket is partial"
        return self.state / "partial" / f"{name}.{_here()}.{os.getpid()}"

    @property
    def troubles(self) -> str:
        """What usually keeps one from writing here, for errors."""
        return "bucket, endpoint, credentials" if isinstance(self.root, BucketPath) else "path, rights, free space"

    def growing(self, name: str, planned: int) -> AbstractContextManager[Growing]:
        """A shard or part that is about to be written: it goes with the block, unless it was published.

        Args:
            planned: bytes that it will about have.

        Raises:
            OSError: it cannot be begun.
        """
        path = self.path(name)
        return Upload(path, planned) if isinstance(path, BucketPath) else GrowingFile(self.partial(name), path)

    @contextmanager
    def room(self, name: str) -> Iterator[Path]:
        """A path at which a file can be made before it gets its final name, and which goes with the block."""
        if isinstance(self.root, BucketPath):
            with scratch() as folder:
                yield folder / name
            return
        path = self.partial(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # SQLite would give it rights of its own.
            path.write_bytes(b"")
            yield path
        finally:
            path.unlink(missing_ok=True)

    def publish(self, whole: Whole, receipt: ShardReceipt, fields: bytes, beside: Mapping[str, bytes]) -> None:
        """Gives a whole shard its name, then writes its samples' fields, its index files and its receipt."""
        path = self.path(receipt.file)
        if isinstance(path, Path):
            path.parent.mkdir(exist_ok=True)
        mark = whole.finish()
        self._replace(self._fields(receipt.file), fields)
        for index, data in beside.items():
            self._replace(self.root / index, data)
        self._replace(self.receipt(receipt.file), to_json(structs.replace(receipt, etag=mark) if mark else receipt))

    def write(self, name: str, data: bytes) -> Written:
        """Write a file beside the shards, unless it is there already: whole or not at all, and on disk on return.

        Raises:
            OSError: it cannot be written, or a store has another number of bytes than were sent.
        """
        path = self.root / name
        changed = _read(path) != data
        if changed:
            self._replace(path, data, sync=True)
            if isinstance(path, BucketPath):
                check_size(path, len(data))
        else:
            # An earlier run may have been stopped before it was on disk.
            _to_disk((path, path.parent))
        return Written(file_digest(data), changed)

    def grow(self, name: str, write: Callable[[Path], None]) -> Written:
        """As `write`, for a file that `write` makes at a path of its own."""
        path = self.root / name
        with self.room(name) as growing:
            write(growing)
            written = Written(file_digest(whole(growing)), not _same(path, growing))
            if written.changed:
                to_disk(growing)
                WholeFile(growing, path).finish()
        _to_disk((self.root,) if written.changed else (path, self.root))
        return written

    def read_receipt(self, name: str) -> ShardReceipt | None:
        """A shard's receipt; None where it is missing or damaged."""
        data = read_if_there(self.receipt(name))
        return None if data is None else from_json(data, ShardReceipt)

    def refuse_links(self) -> None:
        """Refuse links in place of the folders that an export keeps in its own: they may lead to anyone's files.

        Raises:
            ShardsError: one is a link.
        """
        if isinstance(self.root, BucketPath):
            return
        inner = ("", "/partial", "/receipts", "/fields", "/parts", "/lock")
        for name in (*FOLDERS, REPORT_FOLDER, *(f"{STATE_FOLDER}{part}" for part in inner)):
            with contextlib.suppress(OSError):
                # What cannot be looked at cannot be written either, which is told by whoever tries.
                if (self.root / name).is_symlink():
                    raise ShardsError(f"{self.root / name} is a link", "Put a folder in its place, or remove it")

    def with_receipts(self) -> set[str]:
        """Names of the shards and parts of zips that have a receipt."""
        names = (*names_in(self.receipts), *names_in(self.parts))
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def read_fields(self, receipt: ShardReceipt) -> bytes | None:
        """The fields of a shard's samples; None where they are missing, or not those that its receipt tells of."""
        data = read_if_there(self._fields(receipt.file)) or b""
        return data if row_groups.digest(data) == receipt.fields else None

    def fields_changed(self, receipt: ShardReceipt) -> bool:
        """Whether the fields of a shard's samples are there and not those that its receipt tells of."""
        return is_file(self._fields(receipt.file)) and self.read_fields(receipt) is None

    def fields(self, receipt: ShardReceipt) -> bytes:
        """As `read_fields`, where they were there a moment ago.

        Raises:
            ExportFailed: they are not.
        """
        data = self.read_fields(receipt)
        if data is None:
            raise ExportFailed(
                f"{self._fields(receipt.file)} was changed while the export ran", "Run the same command again"
            )
        return data

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
        """Writes whose shards these are to be; tells whether it is certain that nobody else does so at the moment.

        Args:
            new: nobody's so far.

        Raises:
            FileExistsError: they have become someone's meanwhile.
        """
        # Without it the folder's shards would belong to nobody after a power cut.
        return self._replace(self.plan_file, to_json(owner), sync=True, new=new)

    def unfinish(self) -> None:
        """Takes the manifest away, which says that the data set is whole, while shards are missing.

        It is gone from the disk too before a shard is replaced, so that no power cut brings it back beside others.
        """
        remove(self.root, [MANIFEST])
        to_disk(self.root)
        # A report shows pictures, some of which may have been withdrawn.
        remove(self.root / REPORT_FOLDER, [name.removeprefix(f"{REPORT_FOLDER}/") for name in report_files()])
        if isinstance(self.root, Path):
            with contextlib.suppress(OSError):
                (self.root / REPORT_FOLDER).rmdir()

    def clear_partial(self, alone: bool = False) -> None:
        """Removes what unfinished shards left behind; the folder that they grow in is there then.

        Args:
            alone: nobody else is at work here; else other processes' files stay, see `_is_left`.
        """
        if not isinstance(self.state, Path) or (partial := self.state / "partial").is_symlink():
            return
        with contextlib.suppress(OSError):
            partial.mkdir(exist_ok=True)
            for path in partial.iterdir():
                with contextlib.suppress(OSError):
                    if alone or _is_left(path):
                        path.unlink()

    def drop_parts(self, names: Iterable[str]) -> None:
        """Removes parts of a zip that is whole, receipts first, and the folder of parts with the last of them."""
        gone = list(names)
        remove(self.parts, [f"{name}.json" for name in gone])
        remove(self.parts, [file for name in gone for file in (f"{name}.gz", name)])
        if isinstance(self.parts, Path):
            with contextlib.suppress(OSError):
                self.parts.rmdir()

    def sync(self, names: Sequence[str]) -> None:
        """Waits until shards with all that belongs to each are on disk: once, before the manifest appears."""
        if isinstance(self.root, BucketPath):
            return
        files = [path for name in names for path in (self.path(name), *self._beside(name))]
        # What several threads wait for, a file system brings to the disk in one go: a third of the time of one by one.
        for _ in ahead(_to_disk, (files[first::_SYNCED_AT_ONCE] for first in range(_SYNCED_AT_ONCE)), _SYNCED_AT_ONCE):
            pass
        _to_disk((*dict.fromkeys(path.parent for path in files), self.state, self.root))

    def _beside(self, name: str) -> list[Place]:
        return [*(self.root / index for index in index_names(name)), self._fields(name), self.receipt(name)]

    def _replace(self, path: Place, data: bytes, sync: bool = False, new: bool = False) -> bool:
        """Writes a small file; tells whether a `new` one was certainly nobody's before."""
        if isinstance(path, BucketPath):
            if new:
                return path.create(data)
            path.replace(data)
            return True
        temporary = self.partial(f"{path.name}.new")
        try:
            for folder in (path.parent, temporary.parent):
                folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            if new:
                _link(temporary, path)
            temporary.rename(path)
        except OSError as error:
            # An error of writing does not say of itself which file it was.
            raise OSError(error.errno, error.strerror, str(path)) from None
        finally:
            temporary.unlink(missing_ok=True)
        if sync:
            to_disk(path.parent)
        return True


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


def _to_disk(paths: Iterable[Place]) -> None:
    for path in paths:
        to_disk(path)


def _link(path: Path, new: Path) -> None:
    """Gives a file a name that nobody has taken, which two cannot do at once.

    Raises:
        FileExistsError: someone has.
    """
    try:
        new.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no further names; there the folder's lock has to do.
        if exists(new):
            raise FileExistsError(errno.EEXIST, "is there already", str(new)) from None


def _here() -> str:
    """A word for where process ids are of the same processes: this machine since its start, and this container."""
    return f"{zlib.crc32(f'{platform.node()} {_boot()}'.encode()):08x}"


@cache
def _boot() -> str:
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_left(path: Path) -> bool:
    """Whether a partial file is this process's own, one of a process that is gone, or has not changed for a day."""
    process, _, pid = path.name.rpartition(".")
    if not process.endswith(f".{_here()}") or not pid.isdecimal():
        return time.time() - path.stat().st_mtime > A_DAY
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return int(pid) == os.getpid()
