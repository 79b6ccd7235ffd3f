"""Files brought to the disk while they and others are still being written, so that little is left to wait for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import Place, exists
from lpff_shards.storage.prefetch import Threads


def to_disk(path: Place) -> None:
    """Waits until a file or folder is on disk; what is in a bucket is as durable as it gets."""
    if isinstance(path, BucketPath):
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_durable(folder: Path) -> None:
    """Make a folder with those above it, so that no power cut takes it away with what is synced in it later.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not exists(one)]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        # Into some folders one may write and not look.
        with suppress(PermissionError):
            to_disk(one.parent)


class Settling:
    """Syncs files in the background, one after the other; leaving the block waits for all.

    It replaces no sync: the system begins to write only when much has gathered, and this makes it begin.
    """

    def __init__(self) -> None:
        self._thread = Threads(1)
        self._waiting: list[Future[None]] = []

    def settle(self, path: Place) -> None:
        """Begins to bring a file to the disk."""
        self._waiting.append(self._thread.submit(to_disk, path))

    def keep_up(self, path: Place) -> None:
        """Begins to bring what a growing file holds so far to the disk, unless an earlier part is still on its way."""
        if all(waiting.done() for waiting in self._waiting):
            self.settle(path)

    def wait(self) -> None:
        """Waits for all.

        Raises:
            OSError: a file could not be brought to the disk.
        """
        try:
            for waiting in self._waiting:
                waiting.result()
        finally:
            self._thread.end(wait=True)

    def give_up(self) -> None:
        """Leaves what was not begun, and waits for nothing."""
        self._thread.end(wait=False)

    def __enter__(self) -> Settling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits, or where the block failed gives up; raises what `wait` does."""
        if kind is None:
            self.wait()
        else:
            self.give_up()


STRIDE = 1 << 25
"""Bytes after which a growing file is brought to the disk."""


class GrowingFile:
    """A file under a temporary name, which goes when the block is left; its own name keeps it.

    Args:
        path: where it grows; anything there is replaced.
        final: its own name, in the same file system.
    """

    def __init__(self, path: Path, final: Path) -> None:
        self._path = path
        self._final = final
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._disk = Settling()
        self._since_stride = 0

    def __enter__(self) -> GrowingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self._disk.give_up()
        self._path.unlink(missing_ok=True)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Appends bytes, in one call where the system takes them whole, and keeps the disk busy with them."""
        size = sum(map(len, pieces))
        written = os.writev(self._fd, pieces)
        if written != size:
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._since_stride += size
        if self._since_stride >= STRIDE:
            self._disk.keep_up(self._path)
            self._since_stride = 0

    def finish(self) -> str:
        """Gives it its name, when what was begun to be brought to the disk is there."""
        self._disk.wait()
        self._path.rename(self._final)
        return ""
