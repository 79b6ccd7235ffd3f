"""The lock of an output folder: one export has it to itself, or the shares of one export have it together."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lpff_shards.errors import ShardsError

SECONDS = 3.0
"""How long is waited for it: workers of an export that was killed hold it for a moment longer."""


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The lock file, open; leaving the block gives up what was locked.

    Raises:
        OSError: it cannot be made.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


def exclude_all(fd: int, root: str, seconds: float | None = None) -> None:
    """Takes the lock of a folder alone.

    Raises:
        ShardsError: others hold it all the time.
    """
    _until(lambda: _took(fd, fcntl.LOCK_EX), root, SECONDS if seconds is None else seconds)


def join(fd: int, root: str, ours: Callable[[], bool], take_over: Callable[[], None]) -> None:
    """Takes the lock together with other shares of the same export.

    Args:
        ours: tells whether the folder is that export's already.
        take_over: makes it so; nobody else holds the lock meanwhile.

    Raises:
        ShardsError: others hold it all the time.
    """

    def attempt() -> bool:
        if ours():
            return _took(fd, fcntl.LOCK_SH)
        if not _took(fd, fcntl.LOCK_EX):
            return False
        take_over()
        return _took(fd, fcntl.LOCK_SH)

    _until(attempt, root, SECONDS)


def _took(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems have no locks; the rest of the protocol does not need one.
        return True
    return True


def _until(attempt: Callable[[], bool], root: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not attempt():
        if time.monotonic() >= deadline:
            raise ShardsError(f"{root} is being written by another export", "Wait for it, or choose another folder")
        time.sleep(0.1)
