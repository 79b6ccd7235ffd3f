"""A shard while it is written: a file under a temporary name, which appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lpff_shards.storage.background_sync import Settling

STRIDE = 1 << 25
"""Bytes after which a growing file is brought to the disk."""


class GrowingFile:
    """A file under a temporary name, which goes when the block is left; its own name keeps it.

    Args:
        path: where it grows; anything there is replaced.
        final: its own name, in the same file system.
    """

    def __init__(self, path: Path, final: Path) -> None:
        self._path = path
        self._final = final
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._disk = Settling()
        self._since_stride = 0

    def __enter__(self) -> GrowingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self._disk.give_up()
        self._path.unlink(missing_ok=True)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Appends bytes, in one call where the system takes them whole, and keeps the disk busy with them."""
        size = sum(map(len, pieces))
        written = os.writev(self._fd, pieces)
        if written != size:
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._since_stride += size
        if self._since_stride >= STRIDE:
            self._disk.keep_up(self._path)
            self._since_stride = 0

    def finish(self) -> str:
        """Gives it its name, when what was begun to be brought to the disk is there."""
        self._disk.wait()
        self._path.rename(self._final)
        return ""
