"""Objects that are sent as they are made: in parts, several at a time, in bounded memory and without a disk."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lpff_shards.stores.bucket import BucketPath, Listed
from lpff_shards.stores.errors import telling

PART = 8 << 20
"""Bytes of a part: S3 takes none below 5 MiB but the last."""

AT_ONCE = 4
"""Parts on their way at once; as many bytes wait in memory, and one part more."""

MOST_PARTS = 5_000
"""Parts of one object: S3 takes 10,000, and planned sizes are estimates."""


class Upload:
    """An object on its way into a bucket; nobody sees it before it is whole.

    Args:
        place: of the object.
        planned: about how many bytes it will have.
    """

    def __init__(self, place: BucketPath, planned: int) -> None:
        self._place = place
        self._writer: Any = place.writer(part_size(planned), AT_ONCE)
        self._size = 0

    def write(self, pieces: Sequence[bytes]) -> None:
        """Appends bytes.

        Raises:
            OSError: a part could not be sent.
        """
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        with telling(self._place):
            self._writer.write(data)
        self._size += len(data)

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was not finished is let go of, and never appears."""
        self._writer = None

    def finish(self) -> str:
        """Makes the object appear; returns the store's mark of it. Raises what `stored` does."""
        return self.stored().etag

    def stored(self) -> Listed:
        """Makes the object appear, and asks the store what it has.

        Raises:
            OSError: the last parts could not be sent, or the object is shorter or longer than what was sent.
        """
        with telling(self._place):
            self._writer.close()
        found = self._place.stat()
        if found is None or found.size != self._size:
            has = "is not there" if found is None else f"has {found.size} bytes"
            raise OSError(errno.EIO, f"{has}, after {self._size} were sent", str(self._place))
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
    upload = Upload(place, size)
    with path.open("rb", buffering=0) as file:
        while piece := file.read(part_size(size)):
            upload.write([piece])
    return upload.stored()
