"""What an export writes and where: shards, receipts, what lies beside them; in a folder or below a bucket's prefix.

State lies in `.lpff-shards/`: plan.json (the plan that owns the folder), lock, partial/ (shards being written),
receipts/ and fields/ (one of each a finished shard), and while a zip is being made parts/ (its finished parts with
their receipts and fields). A bucket has neither a lock nor anything partial.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lpff_shards.errors import ExportFailed
from lpff_shards.exporters.growing import Growing, GrowingFile, Whole, WholeFile
from lpff_shards.exporters.ownership import Owner
from lpff_shards.exporters.settling import to_disk
from lpff_shards.index_names import index_names
from lpff_shards.ledger import pieces
from lpff_shards.manifest import (
    MANIFEST,
    Manifest,
    ShardReceipt,
    StoredReceipt,
    file_digest,
    from_json,
    stored,
    to_json,
)
from lpff_shards.options import PART, STATE_FOLDER
from lpff_shards.report_names import FOLDER as REPORT
from lpff_shards.report_names import report_files
from lpff_shards.stores.bucket import BucketPath
from lpff_shards.stores.place import Place, is_file, names_in, on_disk, read_if_there, remove, whole
from lpff_shards.stores.scratch import scratch
from lpff_shards.stores.uploads import Upload, check_size

_SYNCED_AT_ONCE = 8


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
        """The fields of a shard's or part's samples, see `ledger.pieces`."""
        return (self.parts if name.endswith(PART) else self.state / "fields") / f"{name}.gz"

    def partial(self, name: str) -> Path:
        """Where a file of a folder grows before it gets its final name.

        It is the process's own: a worker whose parent was killed may still be at the same shard, and shares of the
        export run on other machines.
        """
        assert isinstance(self.state, Path), "nothing of a bucket is partial"
        return self.state / "partial" / f"{name}.{platform.node()}.{os.getpid()}"

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
        path.unlink(missing_ok=True)
        try:
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
        self._replace(self.receipt(receipt.file), to_json(stored(receipt, mark) if mark else receipt))

    def write(self, name: str, data: bytes) -> Written:
        """Write a file beside the shards, unless it is there already: whole or not at all, and on disk on return.

        Raises:
            OSError: it cannot be written, or a store has another number of bytes than were sent.
        """
        path = self.root / name
        changed = read_if_there(path) != data
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
        kind = StoredReceipt if isinstance(self.root, BucketPath) else ShardReceipt
        return None if data is None else from_json(data, kind)

    def with_receipts(self) -> set[str]:
        """Names of the shards and parts of zips that have a receipt."""
        names = (*names_in(self.receipts), *names_in(self.parts))
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def read_fields(self, receipt: ShardReceipt) -> bytes | None:
        """The fields of a shard's samples; None where they are missing, or not those that its receipt tells of."""
        data = read_if_there(self._fields(receipt.file)) or b""
        return data if pieces.digest(data) == receipt.fields else None

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
        """The manifest, where the export is finished."""
        data = read_if_there(self.root / MANIFEST)
        return None if data is None else from_json(data, Manifest)

    def owner(self) -> Owner | None:
        """Whose shards these are; None where plan.json is missing or damaged."""
        data = read_if_there(self.plan_file)
        return None if data is None else from_json(data, Owner)

    def own(self, owner: Owner, new: bool = False) -> None:
        """Writes whose shards these are to be.

        Args:
            new: nobody's so far; only a bucket makes sure of it.

        Raises:
            FileExistsError: they have become someone's meanwhile.
        """
        path = self.plan_file
        if isinstance(path, BucketPath):
            path.replace(to_json(owner), new=new)
        else:
            # Without it the folder's shards would belong to nobody after a power cut.
            self._replace(path, to_json(owner), sync=True)

    def unfinish(self) -> None:
        """Takes the manifest away, which says that the data set is whole, while shards are missing.

        It is gone from the disk too before a shard is replaced, so that no power cut brings it back beside others.
        """
        remove(self.root, [MANIFEST])
        to_disk(self.root)
        # A report shows pictures, some of which may have been withdrawn.
        remove(self.root / REPORT, [name.removeprefix(f"{REPORT}/") for name in report_files()])
        if isinstance(self.root, Path):
            with contextlib.suppress(OSError):
                (self.root / REPORT).rmdir()

    def clear_partial(self) -> None:
        """Removes what unfinished shards left behind."""
        if isinstance(self.state, Path):
            shutil.rmtree(self.state / "partial", ignore_errors=True)
            with contextlib.suppress(OSError):
                (self.state / "partial").mkdir()

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
        with ThreadPoolExecutor(_SYNCED_AT_ONCE) as threads:
            for _ in threads.map(_to_disk, (files[first::_SYNCED_AT_ONCE] for first in range(_SYNCED_AT_ONCE))):
                pass
        _to_disk((*dict.fromkeys(path.parent for path in files), self.state, self.root))

    def _beside(self, name: str) -> list[Place]:
        indexes = () if name.endswith(PART) else index_names(name)
        return [*(self.root / index for index in indexes), self._fields(name), self.receipt(name)]

    def _replace(self, path: Place, data: bytes, sync: bool = False) -> None:
        if isinstance(path, BucketPath):
            path.replace(data)
            return
        temporary = self.partial(f"{path.name}.new")
        try:
            for folder in (path.parent, temporary.parent):
                folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.rename(path)
        except OSError as error:
            # An error of writing does not say of itself which file it was.
            raise OSError(error.errno, error.strerror, str(path)) from None
        if sync:
            to_disk(path.parent)


def _same(path: Place, other: Path) -> bool:
    """Whether a file is there and equals another one."""
    if not is_file(path):
        return False
    with on_disk(path) as before:
        return filecmp.cmp(before, other, shallow=False)


def _to_disk(paths: Iterable[Place]) -> None:
    for path in paths:
        to_disk(path)
