"""The output folder: which plan owns it, what is finished in it, and how things appear in it whole or not at all.

State lies in `.lpff-shards/`: plan.json (the plan that owns the folder), lock, partial/ (shards being written),
receipts/ and fields/ (one of each a finished shard), and while a zip is being made parts/ (its finished parts with
their receipts and fields).
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.exporters import locks
from lpff_shards.exporters.indexes import catalogue as indexes
from lpff_shards.exporters.ownership import SHARD_NAME, Owner, difference, marks, strangers
from lpff_shards.exporters.settling import to_disk
from lpff_shards.index_names import ATTRIBUTION, LEDGER, index_names, wids_name
from lpff_shards.ledger import pieces
from lpff_shards.manifest import MANIFEST, Manifest, ShardReceipt, from_json, to_json
from lpff_shards.options import PART, STATE_FOLDER
from lpff_shards.plan import Plan
from lpff_shards.report_names import FOLDER as REPORT
from lpff_shards.report_names import report_files

CARD = "README.md"
POSES = "poses.png"
"""The picture of the pose conventions, which the card shows."""
SUMS = "SHA256SUMS"
ONCE = (CARD, POSES, SUMS, LEDGER, *ATTRIBUTION, *indexes.ONCE)
"""Files beside the shards that stand once in a data set, but for the manifest and the indexes of wids."""


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder that an export writes; cheap and picklable, it holds no state of its own."""

    root: Path

    @property
    def state(self) -> Path:
        """The folder of our own files in it."""
        return self.root / STATE_FOLDER

    def partial(self, name: str) -> Path:
        """Where a file grows before it gets its final name.

        It is the process's own: a worker whose parent was killed may still be at the same shard, and shares of the
        export run on other machines.
        """
        return self.state / "partial" / f"{name}.{platform.node()}.{os.getpid()}"

    def path(self, name: str) -> Path:
        """Where a finished shard lies, or a finished part of a zip."""
        return (self._parts if name.endswith(PART) else self.root) / name

    def receipt(self, name: str) -> Path:
        """The receipt of a shard or part."""
        return (self._parts if name.endswith(PART) else self.state / "receipts") / f"{name}.json"

    def _fields(self, name: str) -> Path:
        """The fields of a shard's or part's samples, see `ledger.pieces`."""
        return (self._parts if name.endswith(PART) else self.state / "fields") / f"{name}.gz"

    @property
    def _parts(self) -> Path:
        return self.state / "parts"

    def publish(self, name: str, receipt: ShardReceipt, fields: bytes, beside: Mapping[str, bytes]) -> None:
        """Gives a whole shard its name, then writes its samples' fields, its index files and its receipt."""
        path = self.path(name)
        path.parent.mkdir(exist_ok=True)
        self.partial(name).rename(path)
        self._replace(self._fields(name), fields)
        for index, data in beside.items():
            self._replace(self.root / index, data)
        self._replace(self.receipt(name), to_json(receipt))

    def write(self, name: str, data: bytes) -> None:
        """Writes a file of the folder so that it appears whole or not at all, and is on disk when it does."""
        self._replace(self.root / name, data, sync=True)

    def grow(self, name: str, write: Callable[[Path], None]) -> bool:
        """As `write`, for a file that `write` makes at a path of its own; tells whether it is another than before."""
        path, growing = self.root / name, self.partial(name)
        growing.parent.mkdir(parents=True, exist_ok=True)
        growing.unlink(missing_ok=True)
        try:
            write(growing)
            if path.is_file() and filecmp.cmp(path, growing, shallow=False):
                return False
            to_disk(growing)
            growing.rename(path)
        finally:
            growing.unlink(missing_ok=True)
        to_disk(path.parent)
        return True

    def mend(self, name: str, data: bytes) -> bool:
        """Writes a file of the folder where it is missing or other than it should be; tells whether it was."""
        path = self.root / name
        if path.is_file() and path.read_bytes() == data:
            return False
        self._replace(path, data)
        return True

    def read_receipt(self, name: str) -> ShardReceipt | None:
        """A shard's receipt; None where there is none or it is torn."""
        path = self.receipt(name)
        return from_json(path.read_bytes(), ShardReceipt) if path.is_file() else None

    def read_fields(self, receipt: ShardReceipt) -> bytes | None:
        """The fields of a shard's samples; None where they are missing, or not those that its receipt tells of."""
        path = self._fields(receipt.file)
        data = path.read_bytes() if path.is_file() else b""
        return data if pieces.digest(data) == receipt.fields else None

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

    @contextmanager
    def claimed(self, plan: Plan, overwrite: bool, seconds: float | None = None) -> Iterator[None]:
        """Holds the folder for a plan: refuses another plan's, and a second export at the same time.

        Args:
            overwrite: take another plan's folder.
            seconds: how long to wait for others that write it; None for a moment.

        Raises:
            ShardsError: another plan's shards or someone's own files are in it, or it is in use.
            ExportFailed: it cannot be written, at whatever moment.
        """
        with self._telling():
            # Looked at first without a trace, so that a folder that is refused stays as it was.
            self._check(plan, overwrite)
            with self.locked(seconds):
                self._claim(plan, overwrite)
                try:
                    yield
                finally:
                    self.clear_partial()

    @contextmanager
    def shared(self, plan: Plan, overwrite: bool) -> Iterator[None]:
        """Holds the folder for a share of a plan, together with its other shares; raises what `claimed` does."""
        with self._telling():
            try:
                self._check(plan, overwrite)
            except ShardsError:
                # Another share may have begun meanwhile; with the lock it is looked at again.
                if not self.state.is_dir():
                    raise
            self.state.mkdir(parents=True, exist_ok=True)
            with locks.opened(self.state / "lock") as lock:
                locks.join(lock, self.root, lambda: self._is_of(plan), lambda: self._claim(plan, overwrite))
                yield

    @contextmanager
    def locked(self, seconds: float | None = None) -> Iterator[None]:
        """Keeps others from writing the folder at the same time.

        Raises:
            ShardsError: another one does.
            OSError: the folder cannot be written.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        with locks.opened(self.state / "lock") as lock:
            locks.exclude_all(lock, self.root, seconds)
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ExportFailed(
                f"--out {self.root} cannot be written: {error.filename or self.root}: {error.strerror}",
                "Mend that (path, rights, free space), then run the same command again: finished shards are kept",
            ) from None

    def _claim(self, plan: Plan, overwrite: bool) -> None:
        """Makes the folder a plan's own, while nobody else writes it."""
        self._check(plan, overwrite)
        (self.state / "receipts").mkdir(exist_ok=True)
        self._take_over(plan)

    def _is_of(self, plan: Plan) -> bool:
        owner = self.owner()
        return owner is not None and owner.plan == plan.digest

    def finished(self) -> Manifest | None:
        """The manifest, where the folder's export is finished."""
        path = self.root / MANIFEST
        return from_json(path.read_bytes(), Manifest) if path.is_file() else None

    def unfinish(self) -> None:
        """Takes the manifest away, which says that the data set is whole, while shards are missing."""
        (self.root / MANIFEST).unlink(missing_ok=True)
        # A report shows pictures, some of which may have been withdrawn.
        for name in report_files():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                (self.root / name).unlink()
        with contextlib.suppress(OSError):
            (self.root / REPORT).rmdir()

    def clear_partial(self) -> None:
        """Removes what unfinished shards left behind."""
        shutil.rmtree(self.state / "partial", ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.state / "partial").mkdir()

    def drop_parts(self, names: Iterable[str]) -> None:
        """Removes parts of a zip that is whole, receipts first, and the folder of parts with the last of them."""
        for name in names:
            for path in (self.receipt(name), self._fields(name), self.path(name)):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._parts.rmdir()

    def sync(self, names: Sequence[str]) -> None:
        """Waits until shards with all that belongs to each are on disk: once, before the manifest appears."""
        files = [path for name in names for path in (self.path(name), *self._beside(name))]
        for path in (*files, *dict.fromkeys(path.parent for path in files), self.state, self.root):
            to_disk(path)

    def _beside(self, name: str) -> list[Path]:
        indexes = () if name.endswith(PART) else index_names(name)
        return [*(self.root / index for index in indexes), self._fields(name), self.receipt(name)]

    def _check(self, plan: Plan, overwrite: bool) -> None:
        """Refuses where the plan may not write."""
        if self.root.exists() and not self.root.is_dir():
            raise ShardsError(f"--out {self.root} is not a folder", "Give a folder; it is made where it is missing")
        owner = self.owner()
        if owner is not None and owner.plan == plan.digest:
            return
        if owner is not None and not overwrite:
            raise ShardsError(
                f"--out {self.root} holds another plan's shards: {difference(owner, plan)}",
                "Choose another folder, repeat the options of the first export, or give --overwrite "
                "(--update takes out what --exclude names since)",
            )
        others = strangers(self.root, plan.name, self._written()) if self.root.is_dir() else []
        foreign = [*others, *(name for name in (MANIFEST, *ONCE) if not self.state.is_dir())]
        present = [name for name in foreign if os.path.lexists(self.root / name)]
        if present:
            raise ShardsError(
                f"--out {self.root} already holds {present[0]}, which lpff-shards did not write there",
                "Choose another folder",
            )
        if not overwrite and self._written():
            raise ShardsError(f"--out {self.root} holds shards of a plan that cannot be read", "Give --overwrite")

    def _written(self) -> set[str]:
        """Names of the shards that exports have written here, as far as plan and receipts tell."""
        owner = self.owner()
        receipts = self.state / "receipts"
        told = {path.name.removesuffix(".json") for path in receipts.iterdir()} if receipts.is_dir() else set()
        return {name for name in (*told, *(owner.shards if owner else ())) if SHARD_NAME.fullmatch(name)}

    def owner(self) -> Owner | None:
        """Whose shards the folder holds; None where no plan can be read."""
        path = self.state / "plan.json"
        return from_json(path.read_bytes(), Owner) if path.is_file() else None

    def _take_over(self, plan: Plan) -> None:
        self.clear_partial()
        if self._is_of(plan):
            return
        # The manifest goes first: without it the folder counts as unfinished whatever happens next.
        self.unfinish()
        shards = self._written()
        beside = {index for name in shards for index in (*index_names(name), wids_name(name))}
        for name in (*ONCE, *shards, *beside):
            (self.root / name).unlink(missing_ok=True)
        for ours in (self._parts, self.state / "fields", self.state / "receipts"):
            shutil.rmtree(ours, ignore_errors=True)
        (self.state / "receipts").mkdir()
        files = tuple(output.file for output in plan.outputs)
        self._replace(
            self.state / "plan.json",
            to_json(Owner(plan.digest, plan.options, files, marks(plan.mix.exclusions))),
            # Without it the folder's shards would belong to nobody after a power cut.
            sync=True,
        )

    def _replace(self, path: Path, data: bytes, sync: bool = False) -> None:
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
