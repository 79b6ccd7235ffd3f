"""Open files of shards, read at offsets: safe to share between threads and with forked processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.shards import Reads, Span, too_short

MOST_OPEN = 256
"""About how many files stay open; those of larger data sets are opened for each reading beyond it."""


class ShardFiles:
    """The shards of a data set in a folder: `Shards` and `Reads` at once. Pickles without its open files.

    Reads give their offsets with each call, so that no position is shared.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._open: dict[int, int] = {}

    def __getstate__(self) -> tuple[Path, ...]:
        return self._paths

    def __setstate__(self, paths: tuple[Path, ...]) -> None:
        self.__init__(paths)  # type: ignore[misc]

    def __del__(self) -> None:
        for fd in self._open.values():
            os.close(fd)

    def path(self, shard: int) -> Path:
        """A shard's file."""
        return self._paths[shard]

    def together(self, spans: Iterable[Span]) -> Iterable[Reads]:  # noqa: ARG002
        """Itself, over and over: the system reads ahead better than we could."""
        return repeat(self)

    in_turn = together

    def read(self, shard: int, at: int, size: int) -> bytes:
        """See `Reads`."""
        fd, keep = self._fd(shard)
        try:
            return os.pread(fd, size, at)
        except OSError as error:
            raise self._unreadable(shard, error) from None
        finally:
            if not keep:
                os.close(fd)

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:
        """See `Reads`."""
        fd, keep = self._fd(shard)
        try:
            missing = sum(map(len, parts)) - os.preadv(fd, parts, at)
        except OSError as error:
            raise self._unreadable(shard, error) from None
        finally:
            if not keep:
                os.close(fd)
        if missing:
            raise too_short(self._paths[shard], missing)

    def _fd(self, shard: int) -> tuple[int, bool]:
        """An open file, and whether it stays open."""
        fd = self._open.get(shard)
        if fd is not None:
            return fd, True
        try:
            fd = os.open(self._paths[shard], os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(shard, error) from None
        # No lock, which a process forked meanwhile would wait for in vain: of two threads the first one's file stays.
        keep = len(self._open) < MOST_OPEN
        return fd, keep and self._open.setdefault(shard, fd) == fd

    def _unreadable(self, shard: int, error: OSError) -> ShardsError:
        return ShardsError(f"{self._paths[shard]} cannot be read: {error.strerror}", "Check the folder")
