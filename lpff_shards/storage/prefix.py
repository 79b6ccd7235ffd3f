"""A bucket's prefix that an export writes, without locks and without visible unfinished objects.

Objects are sent while they are made: in parts, several at once, in bounded memory and without a disk.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.base import Storage
from lpff_shards.storage.bucket import BucketPath, Listed, interruptible, translate_errors
from lpff_shards.storage.local import LocalFolder
from lpff_shards.storage.path import StoragePath, scratch

PART = 8 << 20
"""Bytes of a part: S3 requires 5 MiB, except for the last part."""

AT_ONCE = 4
"""Parts that are sent at once; memory holds these parts and one more."""

GIVING_UP = 5.0
"""Seconds for canceling an upload, since the store may be unreachable."""

GATHERED = 4 << 20
"""Bytes that are passed to the store's library at once."""

MOST_PARTS = 5_000
"""Most parts of one object: S3 allows 10,000, and planned sizes are estimates."""


class Upload:
    """An upload of about `planned` bytes, visible only when complete; the end of the block cancels an unfinished one.

    Parts of a killed process stay in the bucket, invisible, until its lifecycle rules remove them.
    """

    def __init__(self, place: BucketPath, planned: int) -> None:
        self._place = place
        before = place.stat()
        self._before = before.etag if before else None
        self._writer = place.writer(part_size(planned), AT_ONCE)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._size = 0
        self._open = True

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if self._open:
            self._open = False
            # Another error is reported already, and the rest of the upload is invisible.
            with suppress(OSError), translate_errors(self._place):
                given_up = error or InterruptedError()
                interruptible(lambda: self._writer.__exit__(type(given_up), given_up, None), GIVING_UP)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes."""
        self._waiting += pieces
        self._waiting_bytes += sum(map(len, pieces))
        if self._waiting_bytes >= GATHERED:
            self._flush()

    def finish(self) -> str:
        """Complete the upload, and compare the object's size with the sent bytes; return its ETag."""
        self._flush()
        try:
            with translate_errors(self._place):
                interruptible(self._writer.close)
        except OSError:
            # If the response was lost, the object may exist nevertheless.
            found = self._place.stat()
            if found is None or found.etag == self._before or found.size != self._size:
                raise
        self._open = False
        return _check_size(self._place, self._size).etag

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        with translate_errors(self._place):
            interruptible(lambda: self._writer.write(data))
        self._size += len(data)
        self._waiting, self._waiting_bytes = [], 0


def _check_size(place: BucketPath, sent: int) -> Listed:
    found = place.stat()
    if found is None or found.size != sent:
        has = "is missing" if found is None else f"has {found.size} bytes"
        raise OSError(errno.EIO, f"{has} after {sent} bytes were sent", str(place))
    return found


def part_size(planned: int) -> int:
    return max(PART, -(-planned // MOST_PARTS))


@dataclass(frozen=True, slots=True)
class BucketPrefix:
    """A prefix that an export writes: an acknowledged object is durable, and there are no folders."""

    root: BucketPath

    def atomic_file(self, name: str, planned: int) -> Upload:
        return Upload(self.root / name, planned)

    @contextmanager
    def staging_path(self, name: str) -> Iterator[Path]:
        with scratch() as folder:
            yield folder / name

    def keep(self, made: Path, name: str) -> str:
        size = made.stat().st_size
        with self.atomic_file(name, size) as upload, made.open("rb", buffering=0) as file:
            while piece := file.read(part_size(size)):
                upload.write([piece])
            return upload.finish()

    def write(self, name: str, data: bytes, durable: bool = False) -> None:
        (self.root / name).replace(data)
        if durable:
            _check_size(self.root / name, len(data))

    def create(self, name: str, data: bytes) -> bool:
        return (self.root / name).create(data)

    def sync(self, names: Iterable[str]) -> None:
        """Do nothing."""

    def same(self, name: str, found: Listed, receipt: ShardReceipt) -> bool:
        # An ETag may have another form in a listing than in the object's headers.
        return receipt.etag == found.etag or receipt.etag == ((self.root / name).stat() or found).etag

    @contextmanager
    def lock(self, seconds: float | None) -> Iterator[bool]:  # noqa: ARG002  # no wait without locks
        yield False

    @contextmanager
    def share(self, ours: Callable[[], bool], take_over: Callable[[bool], None]) -> Iterator[None]:  # noqa: ARG002
        take_over(False)
        yield

    def clear_unfinished(self, alone: bool) -> None:
        """Do nothing."""


def storage_of(root: StoragePath) -> Storage:
    """Return the storage of a place."""
    return LocalFolder(root) if isinstance(root, Path) else BucketPrefix(root)
