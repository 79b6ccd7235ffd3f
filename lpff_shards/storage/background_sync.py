"""Sync files to disk in the background while they are written, so that the final sync is short."""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import StoragePath, exists
from lpff_shards.storage.prefetch import Threads


def to_disk(path: StoragePath) -> None:
    """Wait until a file or folder is on disk; do nothing for a bucket, which is durable."""
    if isinstance(path, BucketPath):
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_durable(folder: Path) -> None:
    """Make a folder and its parents, and sync them, so that they survive a power cut."""
    missing = [one for one in (folder, *folder.parents) if not exists(one)]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        # Some folders are writable but not readable.
        with suppress(PermissionError):
            to_disk(one.parent)


class BackgroundSync:
    """Sync files in the background, one after another; the end of the block waits for all unless it failed.

    It does not replace the final sync: it makes the system start writing earlier.
    """

    def __init__(self) -> None:
        self._thread = Threads(1)
        self._waiting: list[Future[None]] = []

    def submit(self, path: StoragePath) -> None:
        """Begin to sync a file."""
        self._waiting.append(self._thread.submit(to_disk, path))

    def keep_up(self, path: StoragePath) -> None:
        """Begin to sync the current part of a growing file, unless an earlier sync is still running."""
        if all(waiting.done() for waiting in self._waiting):
            self.submit(path)

    def wait(self) -> None:
        """Wait for all syncs; raise OSError if a file cannot be synced."""
        for waiting in self._waiting:
            waiting.result()

    def __enter__(self) -> BackgroundSync:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.end(wait=kind is None)
