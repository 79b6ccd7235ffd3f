"""The output folder: which plan owns it, what is finished in it, and how things appear in it whole or not at all.

State lies in `.lpff-shards/`: plan.json (the plan that owns the folder), lock, partial/ (shards being written) and
receipts/ (one a finished shard).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.manifest import MANIFEST, ShardReceipt, from_json, to_json
from lpff_shards.plan import Plan

STATE = ".lpff-shards"
CARD = "README.md"
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Owner:
    """plan.json: the plan whose shards a folder holds."""

    plan: str
    options: Mapping[str, Any]
    shards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder that an export writes; cheap and picklable, it holds no state of its own."""

    root: Path

    @property
    def state(self) -> Path:
        """The folder of our own files in it."""
        return self.root / STATE

    def partial(self, name: str) -> Path:
        """Where a file grows before it gets its final name."""
        return self.state / "partial" / name

    def receipt(self, name: str) -> Path:
        """A shard's receipt."""
        return self.state / "receipts" / f"{name}.json"

    def publish(self, name: str, receipt: ShardReceipt) -> None:
        """Gives a whole shard its name, then writes its receipt."""
        self.partial(name).rename(self.root / name)
        self._replace(self.receipt(name), to_json(receipt))

    def write(self, name: str, data: bytes) -> None:
        """Writes a file of the folder so that it appears whole or not at all, and is on disk when it does."""
        self._replace(self.root / name, data, sync=True)

    def read_receipt(self, name: str) -> ShardReceipt | None:
        """A shard's receipt; None where there is none or it is torn."""
        try:
            return from_json(self.receipt(name).read_bytes(), ShardReceipt)
        except FileNotFoundError:
            return None

    @contextmanager
    def claimed(self, plan: Plan, overwrite: bool) -> Iterator[None]:
        """Holds the folder for a plan: refuses another plan's, and a second export at the same time.

        Raises:
            ShardsError: another plan's shards are in it and `overwrite` is false, or it is in use.
            ExportFailed: it cannot be written.
        """
        # Looked at first without a trace, so that a folder that is refused stays as it was.
        self._check(plan, overwrite)
        try:
            (self.state / "receipts").mkdir(parents=True, exist_ok=True)
            (self.state / "partial").mkdir(exist_ok=True)
            lock = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ExportFailed(
                f"--out {self.root} cannot be written: {error.strerror}", "Check the path and its rights"
            ) from None
        try:
            _lock(lock, self.root)
            self._take_over(plan, self._check(plan, overwrite))
            yield
        finally:
            os.close(lock)

    def clear_partial(self) -> None:
        """Removes what unfinished shards left behind."""
        shutil.rmtree(self.state / "partial", ignore_errors=True)
        (self.state / "partial").mkdir()

    def sync(self, names: Sequence[str]) -> None:
        """Waits until the shards and receipts are on disk: once for all, before the manifest appears."""
        paths = [path for name in names for path in (self.root / name, self.receipt(name))]
        for path in (*paths, self.state / "receipts", self.state, self.root):
            _sync(path)

    def _check(self, plan: Plan, overwrite: bool) -> Owner | None:
        """The folder's owner, or an error where the plan may not write here."""
        if self.root.exists() and not self.root.is_dir():
            raise ShardsError(f"--out {self.root} is a file", "Give a folder; it is made where it is missing")
        path = self.state / "plan.json"
        owner = from_json(path.read_bytes(), Owner) if path.exists() else None
        if overwrite or (owner is not None and owner.plan == plan.digest):
            return owner
        if owner is not None:
            raise ShardsError(
                f"--out {self.root} holds another plan's shards: {_difference(owner, plan)}",
                "Choose another folder, repeat the options of the first export, or give --overwrite",
            )
        present = sorted(name for name in (*plan.filenames, MANIFEST, CARD, SUMS) if (self.root / name).exists())
        if present:
            raise ShardsError(
                f"--out {self.root} already holds {present[0]}", "Choose another folder, or give --overwrite"
            )
        return None

    def _take_over(self, plan: Plan, owner: Owner | None) -> None:
        self.clear_partial()
        if owner is None or owner.plan != plan.digest:
            self._remove([*(owner.shards if owner else ()), *plan.filenames])
            self._replace(self.state / "plan.json", to_json(Owner(plan.digest, plan.options, plan.filenames)))

    def _remove(self, names: Sequence[str]) -> None:
        # The manifest goes first: without it the folder counts as unfinished whatever happens next.
        for name in (MANIFEST, CARD, SUMS, *names):
            (self.root / name).unlink(missing_ok=True)
        shutil.rmtree(self.state / "receipts", ignore_errors=True)
        (self.state / "receipts").mkdir()

    def _replace(self, path: Path, data: bytes, sync: bool = False) -> None:
        temporary = self.state / "partial" / f"{path.name}.new"
        with temporary.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(path)
        if sync:
            _sync(path.parent)


def _lock(fd: int, root: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ShardsError(
            f"--out {root} is being written by another export", "Wait for it, or choose another folder"
        ) from None
    except OSError:
        # Some network file systems have no locks; the rest of the protocol does not need one.
        return


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _difference(owner: Owner, plan: Plan) -> str:
    """What sets two plans apart, in words."""
    mine: dict[str, Any] = from_json(to_json(plan.options), dict[str, Any]) or {}
    names = [name for name in {**owner.options, **mine} if owner.options.get(name) != mine.get(name)]
    if not names:
        return "the sources' contents differ"
    return ", ".join(f"{name} was {owner.options.get(name)}, now {mine.get(name)}" for name in names)
