"""The storage contract: what an export needs of the place that it writes, a folder or a bucket's prefix.

Code outside `storage` does not depend on which of the two it is; functions that only read are in `storage.path`.
`tests/test_storage.py` runs the same tests for all kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.bucket import Listed
from lpff_shards.storage.path import StoragePath


class AtomicFileWriter(Protocol):
    """A file without its name yet. Methods raise OSError."""

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes."""

    def finish(self) -> str:
        """Give the file its name; return the store's ETag, empty for files."""


class Storage(Protocol):
    """A folder or prefix that an export writes. Picklable and without state.

    Every write is atomic and makes the folders of its name. Names are relative, with slashes between folders. All
    methods may raise OSError.
    """

    @property
    def root(self) -> StoragePath: ...

    def atomic_file(self, name: str, planned: int) -> AbstractContextManager[AtomicFileWriter]:
        """Write a file of about `planned` bytes piece by piece; removed at the end of the block unless finished."""

    def staging_path(self, name: str) -> AbstractContextManager[Path]:
        """Yield a path for a library's file, removed at the end of the block unless `keep` names it."""

    def keep(self, made: Path, name: str) -> str:
        """Give a file from `staging_path` its name; return the store's ETag, empty for files."""

    def write(self, name: str, data: bytes, durable: bool = False) -> None:
        """Write a small file; a durable one is on disk on return, and a store has confirmed its size."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file durably, or raise FileExistsError; return whether the storage is sure that it is new."""

    def sync(self, names: Iterable[str]) -> None:
        """Wait until files or folders are on disk."""

    def same(self, name: str, found: Listed, receipt: ShardReceipt) -> bool:
        """Return whether a file is the written one, by its checksum or the store's ETag."""

    def lock(self, seconds: float | None) -> AbstractContextManager[bool]:
        """Keep other exports from writing; yield whether locks work here.

        Raises:
            ShardsError: another export is writing, even after a wait of so many seconds, or with None a moment.
        """

    def share(self, ours: Callable[[], bool], take_over: Callable[[bool], None]) -> AbstractContextManager[None]:
        """Write together with other tasks of the same export; raise as `lock`.

        Args:
            ours: returns whether the folder already belongs to that export.
            take_over: makes it belong to it; its argument is whether this process surely holds the exclusive lock.
        """

    def clear_unfinished(self, alone: bool) -> None:
        """Remove unfinished files of ended writers; with `alone`, of all writers."""
