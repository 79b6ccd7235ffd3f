"""Bringing shards to the disk while they and others are still being written, so that little is left to wait for."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType


def to_disk(path: Path) -> None:
    """Waits until a file or folder is on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Settling:
    """Syncs files in the background, one after the other; leaving the block waits for all.

    It replaces no sync: the system begins to write only when much has gathered, and this makes it begin.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[Future[None]] = []

    def settle(self, path: Path) -> None:
        """Begins to bring a file to the disk."""
        self._waiting.append(self._thread.submit(to_disk, path))

    def keep_up(self, path: Path) -> None:
        """Begins to bring what a growing file holds so far to the disk, unless an earlier part is still on its way."""
        if all(waiting.done() for waiting in self._waiting):
            self.settle(path)

    def __enter__(self) -> Settling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits, or where the block failed gives up.

        Raises:
            OSError: a file could not be brought to the disk.
        """
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for waiting in self._waiting:
                waiting.result()
