"""The storage contract: what an export asks of the place that it writes, a folder or a bucket's prefix.

Both keep the same rules, which `tests/test_storage.py` checks:

- What is written under a name appears there whole or not at all.
- After `settle` what was written is as durable as the place can make it.
- Names are relative, with slashes between folders.

Outside `storage` nothing asks which of the two a place is. Functions that only read are in `storage.path`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.bucket import Listed
from lpff_shards.storage.path import Place


class Growing(Protocol):
    """A file that is being written and has no name yet. Leaving the block removes it, unless it has finished."""

    def __enter__(self) -> Growing: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes.

        Raises:
            OSError: they cannot be written.
        """

    def finish(self) -> str:
        """Give it its name; return the store's mark of it, empty for files.

        Raises:
            OSError: it cannot appear.
        """


class Storage(Protocol):
    """A folder or prefix that an export writes. Picklable, cheap, without state of its own.

    Attributes:
        root: the place itself.
        lockable: whether it can be kept from others.
    """

    @property
    def root(self) -> Place: ...

    @property
    def lockable(self) -> bool: ...

    def growing(self, name: str, planned: int) -> Growing:
        """Begin a file of about so many bytes that is written piece by piece.

        Raises:
            OSError: it cannot be begun.
        """

    def room(self, name: str) -> AbstractContextManager[Path]:
        """A path at which a library can make a file, which goes with the block; `keep` gives it a name."""

    def keep(self, made: Path, name: str) -> str:
        """Give a file that was made at a `room` its name; return the store's mark of it, empty for files."""

    def write(self, name: str, data: bytes) -> None:
        """Write a small file."""

    def write_durably(self, name: str, data: bytes) -> None:
        """As `write`, on disk on return.

        Raises:
            OSError: also where a store has another number of bytes than were sent.
        """

    def create(self, name: str, data: bytes) -> bool:
        """As `write_durably`, under a name that nothing has; return whether that is certain.

        Raises:
            FileExistsError: something has it.
        """

    def settle(self, names: Iterable[str]) -> None:
        """Wait until files or folders are on disk."""

    def same(self, name: str, found: Listed, receipt: ShardReceipt) -> bool:
        """Whether a file is the one that was written: by its checksum, or by the store's mark of it."""

    def lock(self, seconds: float | None) -> AbstractContextManager[bool]:
        """Keep others from writing; gives whether it can.

        Raises:
            ShardsError: another export writes it.
        """

    def share(self, ours: Callable[[], bool], take_over: Callable[[bool], None]) -> AbstractContextManager[None]:
        """Write together with others of the same export, see `storage.local.join`."""

    def make_folder(self, name: str) -> None:
        """Make a folder below the root, where folders exist."""

    def remove_tree(self, name: str) -> None:
        """Remove a folder with all that is in it; what is not there is no error."""

    def remove_empty(self, name: str) -> None:
        """Remove a folder if nothing is in it."""

    def clear_unfinished(self, alone: bool) -> None:
        """Remove what writers that are gone left unfinished; where nobody else is at work, all of it."""

    def refuse_odd(self, folders: Iterable[str]) -> None:
        """Refuse a root that is no folder, and links in place of folders in it: they may lead to anyone's files.

        Raises:
            ShardsError: there is such a thing.
        """

    def refuse_unwritable(self) -> None:
        """Learn whether anything may be written, before what is there is removed; a folder tells by its lock."""

    def free(self) -> tuple[Path, int | None]:
        """The disk that fills while files are made, and its free bytes; None where it does not tell."""


def storage_of(root: Place) -> Storage:
    """The storage of a place."""
    from lpff_shards.storage.local import LocalFolder
    from lpff_shards.storage.prefix import BucketPrefix

    return LocalFolder(root) if isinstance(root, Path) else BucketPrefix(root)
