"""A bucket's prefix that an export writes, without locks and with nothing unfinished to be seen.

Objects are sent as they are made: in parts, several at a time, in bounded memory and without a disk.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.bucket import BucketPath, Listed
from lpff_shards.storage.path import free_bytes, scratch
from lpff_shards.storage.requests import heard, telling

PART = 8 << 20
"""Bytes of a part: S3 takes none below 5 MiB but the last."""

AT_ONCE = 4
"""Parts on their way at once; as many bytes wait in memory, and one part more."""

GIVING_UP = 5.0
"""Seconds for telling the store that an upload has ended; it may be the store that does not answer."""

GATHERED = 4 << 20
"""Bytes that are handed to the store's library at once."""

MOST_PARTS = 5_000
"""Parts of one object: S3 takes 10,000, and planned sizes are estimates."""


class Upload:
    """An object on its way into a bucket; nobody sees it before it is whole, and leaving the block before ends it.

    Parts of an upload whose process was killed stay in the bucket unseen, until its rules take them away.

    Args:
        place: of the object.
        planned: about how many bytes it will have.
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._open = False
            # Whatever else is wrong with the store is told already, and what remains is never seen.
            with suppress(OSError), telling(self._place):
                given_up = error or InterruptedError()
                heard(lambda: self._writer.__exit__(type(given_up), given_up, None), GIVING_UP)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Appends bytes.

        Raises:
            OSError: a part could not be sent.
        """
        self._waiting += pieces
        self._waiting_bytes += sum(map(len, pieces))
        if self._waiting_bytes >= GATHERED:
            self._flush()

    def finish(self) -> str:
        """Makes the object appear; returns the store's mark of it. Raises what `stored` does."""
        return self.stored().etag

    def stored(self) -> Listed:
        """Makes the object appear, and asks the store what it has.

        Raises:
            OSError: the last parts could not be sent, or the object is shorter or longer than what was sent.
        """
        self._flush()
        try:
            with telling(self._place):
                heard(self._writer.close)
        except OSError:
            # Where the answer was lost, the object may have appeared nevertheless.
            found = self._place.stat()
            if found is None or found.etag == self._before or found.size != self._size:
                raise
        self._open = False
        return check_size(self._place, self._size)

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        with telling(self._place):
            heard(lambda: self._writer.write(data))
        self._size += len(data)
        self._waiting, self._waiting_bytes = [], 0


def check_size(place: BucketPath, sent: int) -> Listed:
    """An object that was sent, as the store has it.

    Raises:
        OSError: it is not there, or shorter or longer than what was sent.
    """
    found = place.stat()
    if found is None or found.size != sent:
        has = "is not there" if found is None else f"has {found.size} bytes"
        raise OSError(errno.EIO, f"{has}, after {sent} were sent", str(place))
    return found


def part_size(planned: int) -> int:
    """Bytes of each part of an object of about so many bytes."""
    return max(PART, -(-planned // MOST_PARTS))


def send(path: Path, place: BucketPath) -> Listed:
    """Sends a file, which appears in the bucket whole.

    Raises:
        OSError: it cannot be read or sent.
    """
    size = path.stat().st_size
    with Upload(place, size) as upload, path.open("rb", buffering=0) as file:
        while piece := file.read(part_size(size)):
            upload.write([piece])
        return upload.stored()


@dataclass(frozen=True, slots=True)
class BucketPrefix:
    """See `storage.base.Storage`. What a store has acknowledged is as durable as it gets."""

    root: BucketPath
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
