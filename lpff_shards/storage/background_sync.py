"""Bringing shards to the disk while they and others are still being written, so that little is left to wait for."""

from __future__ import annotations

import os
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
