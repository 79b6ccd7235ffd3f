"""A bucket's prefix that an export writes: without locks, and with nothing unfinished to be seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.bucket import BucketPath, Listed
from lpff_shards.storage.path import free_bytes, scratch
from lpff_shards.storage.uploads import Upload, check_size, send


@dataclass(frozen=True, slots=True)
class BucketPrefix:
    """See `storage.base.Storage`. What a store has acknowledged is as durable as it gets."""

    root: BucketPath
    causes = "bucket, endpoint, credentials"
    lockable = False

    def growing(self, name: str, planned: int) -> Upload:
        return Upload(self.root / name, planned)

    @contextmanager
    def room(self, name: str) -> Iterator[Path]:
        with scratch() as folder:
            yield folder / name

    def keep(self, made: Path, name: str) -> str:
        return send(made, self.root / name).etag

    def write(self, name: str, data: bytes) -> None:
        (self.root / name).replace(data)

    def write_durably(self, name: str, data: bytes) -> None:
        self.write(name, data)
        check_size(self.root / name, len(data))

    def create(self, name: str, data: bytes) -> bool:
        return (self.root / name).create(data)

    def settle(self, names: Iterable[str]) -> None:
        """All is settled when it is written."""

    def same(self, name: str, found: Listed, receipt: ShardReceipt) -> bool:
        # A listing may write the mark in another way than the object's own headers.
        return receipt.etag == found.etag or receipt.etag == ((self.root / name).stat() or found).etag

    @contextmanager
    def lock(self, seconds: float | None) -> Iterator[bool]:  # noqa: ARG002  # nobody is waited for
        yield False

    @contextmanager
    def share(self, ours: Callable[[], bool], take_over: Callable[[bool], None]) -> Iterator[None]:  # noqa: ARG002
        take_over(False)
        yield

    def make_folder(self, name: str) -> None:
        """Buckets have none."""

    def remove_tree(self, name: str) -> None:
        (self.root / name).remove_all()

    def remove_empty(self, name: str) -> None:
        """Buckets have no empty folders."""

    def clear_unfinished(self, alone: bool) -> None:
        """Parts of uploads are the store's own business."""

    def refuse_odd(self, folders: Iterable[str]) -> None:
        """Buckets have no links."""

    def refuse_unwritable(self) -> None:
        state = self.root / STATE_FOLDER
        (state / "tried").replace(b"")
        state.remove(["tried"])

    def free(self) -> tuple[Path, int | None]:
        disk = Path(tempfile.gettempdir())
        return disk, free_bytes(disk)
