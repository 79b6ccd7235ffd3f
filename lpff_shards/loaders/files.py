"""Open files of shards, read at offsets: safe to share between threads and with forked processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.stores.bucket import BucketPath
from lpff_shards.stores.place import Place

MOST_OPEN = 256
"""About how many files stay open; those of larger data sets are opened for each reading beyond it."""


class ShardFiles:
    """The shards of a data set. Pickles without its open files.

    Reads give their offsets with each call, so that no position is shared.
    """

    def __init__(self, paths: Sequence[Place]) -> None:
        self._paths = tuple(paths)
        self._open: dict[int, int] = {}

    def __getstate__(self) -> tuple[Place, ...]:
        return self._paths

    def __setstate__(self, paths: tuple[Place, ...]) -> None:
        self.__init__(paths)  # type: ignore[misc]

    def __del__(self) -> None:
        for fd in self._open.values():
            os.close(fd)

    def path(self, shard: int) -> Place:
        """A shard's file."""
        return self._paths[shard]

    def read(self, shard: int, at: int, size: int) -> bytes:
        """Bytes of a shard, fewer where it ends before.

        Raises:
            ShardsError: it cannot be read.
        """
        if isinstance(path := self._paths[shard], BucketPath):
            return self._fetched(path, shard, at, size)
        fd, keep = self._fd(shard, path)
        try:
            return os.pread(fd, size, at)
        except OSError as error:
            raise self._unreadable(shard, error) from None
        finally:
            if not keep:
                os.close(fd)

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:
        """Fills buffers with a shard's bytes, one behind the other.

        Raises:
            ShardsError: it cannot be read, or ends before they are full.
        """
        size = sum(map(len, parts))
        if isinstance(path := self._paths[shard], BucketPath):
            data = self._fetched(path, shard, at, size)
            if len(data) < size:
                raise self._short(shard, size - len(data))
            self._fill(parts, data)
            return
        fd, keep = self._fd(shard, path)
        try:
            missing = size - os.preadv(fd, parts, at)
        except OSError as error:
            raise self._unreadable(shard, error) from None
        finally:
            if not keep:
                os.close(fd)
        if missing:
            raise self._short(shard, missing)

    def _fetched(self, path: BucketPath, shard: int, at: int, size: int) -> bytes:
        try:
            return path.read_at(at, size)
        except OSError as error:
            raise self._unreadable(shard, error) from None

    @staticmethod
    def _fill(parts: Sequence[memoryview | bytearray], data: bytes) -> None:
        at = 0
        for part in parts:
            memoryview(part).cast("B")[:] = data[at : at + len(part)]
            at += len(part)

    def _short(self, shard: int, missing: int) -> ShardsError:
        return ShardsError(f"{self._paths[shard]} ends {missing} bytes too early", "See lpff-shards verify")

    def _fd(self, shard: int, path: Path) -> tuple[int, bool]:
        """An open file, and whether it stays open."""
        fd = self._open.get(shard)
        if fd is not None:
            return fd, True
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(shard, error) from None
        # No lock, which a process forked meanwhile would wait for in vain: of two threads the first one's file stays.
        keep = len(self._open) < MOST_OPEN
        return fd, keep and self._open.setdefault(shard, fd) == fd

    def _unreadable(self, shard: int, error: OSError) -> ShardsError:
        return ShardsError(f"{self._paths[shard]} cannot be read: {error.strerror}", "Check the folder")
