"""The storage contract: the functions of an export's output, a folder or a bucket's prefix.

Both follow these rules, which `tests/test_storage.py` checks:

- A write is atomic.
- After `sync` written files are as durable as possible.
- Names are relative, with slashes between folders.

Code outside `storage` does not depend on which of the two it is. Functions that only read are in `storage.path`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.bucket import Listed
from lpff_shards.storage.path import StoragePath


class AtomicFileWriter(Protocol):
    """A file that is being written and has no name yet. The end of the block removes it, unless it is finished."""

    def __enter__(self) -> AtomicFileWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes.

        Raises:
            OSError: they cannot be written.
        """

    def finish(self) -> str:
        """Give the file its name; return the store's ETag, empty for files.

        Raises:
            OSError: the file cannot be completed.
        """


class Storage(Protocol):
    """A folder or prefix that an export writes. Picklable, cheap and stateless.

    Attributes:
        root: the folder or prefix.
        lockable: whether it has locks.
    """

    @property
    def root(self) -> StoragePath: ...

    @property
    def lockable(self) -> bool: ...

    def atomic_file(self, name: str, planned: int) -> AtomicFileWriter:
        """Begin a file of about `planned` bytes that is written piece by piece.

        Raises:
            OSError: the file cannot be created.
        """

    def staging_path(self, name: str) -> AbstractContextManager[Path]:
        """Yield a path for a library's file, removed at the end of the block unless `keep` names it."""

    def keep(self, made: Path, name: str) -> str:
        """Give a file from `staging_path` its name; return the store's ETag, empty for files."""

    def write(self, name: str, data: bytes) -> None:
        """Write a small file."""

    def write_durably(self, name: str, data: bytes) -> None:
        """Write a small file, on disk on return.

        Raises:
            OSError: the file cannot be written, or a store reports another size than was sent.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file durably under a new name; return whether the storage guarantees that it is new.

        Raises:
            FileExistsError: the name exists.
        """

    def sync(self, names: Iterable[str]) -> None:
        """Wait until files or folders are on disk."""

    def same(self, name: str, found: Listed, receipt: ShardReceipt) -> bool:
        """Return whether a file is the written one, by its checksum or the store's ETag."""

    def lock(self, seconds: float | None) -> AbstractContextManager[bool]:
        """Keep other exports from writing; yield whether locks work here.

        Raises:
            ShardsError: another export is writing.
        """

    def share(self, ours: Callable[[], bool], take_over: Callable[[bool], None]) -> AbstractContextManager[None]:
        """Write together with other tasks of the same export, see `storage.local.join`."""

    def make_folder(self, name: str) -> None:
        """Make a folder below the root; do nothing in a bucket."""

    def remove_tree(self, name: str) -> None:
        """Remove a folder with its contents; a missing folder is no error."""

    def remove_empty(self, name: str) -> None:
        """Remove a folder if it is empty."""

    def clear_unfinished(self, alone: bool) -> None:
        """Remove unfinished files of ended writers; with `alone`, of all writers."""

    def refuse_odd(self, folders: Iterable[str]) -> None:
        """Refuse a root that is not a folder, and links in place of its folders: they may lead to other files.

        Raises:
            ShardsError: the root or a folder is refused.
        """

    def refuse_unwritable(self) -> None:
        """Refuse an unwritable place before old files are removed; a folder is already checked by its lock."""

    def free(self) -> tuple[Path, int | None]:
        """Return the disk that holds files in progress, and its free bytes; None if unknown."""


def storage_of(root: StoragePath) -> Storage:
    """Return the storage of a place."""
    from lpff_shards.storage.local import LocalFolder
    from lpff_shards.storage.prefix import BucketPrefix

    return LocalFolder(root) if isinstance(root, Path) else BucketPrefix(root)
