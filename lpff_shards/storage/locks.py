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
        OSError: it cannot be made, or neither written nor read.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError as error:
        # A colleague's, who made it with another umask: reading is enough to lock it.
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            raise error from None
    try:
        yield fd
    finally:
        os.close(fd)


def exclude_all(fd: int, root: str, seconds: float | None = None) -> bool:
    """Takes the lock of a folder alone; tells whether its file system has locks, so that nobody else is there.

    Raises:
        ShardsError: others hold it all the time.
    """
    return _until(lambda: _took(fd, fcntl.LOCK_EX), root, SECONDS if seconds is None else seconds)


def join(fd: int, root: str, ours: Callable[[], bool], take_over: Callable[[bool], None]) -> None:
    """Takes the lock together with other shares of the same export.

    Args:
        ours: tells whether the folder is that export's already.
        take_over: makes it so; told whether it is certain that nobody else holds the lock meanwhile.

    Raises:
        ShardsError: others hold it all the time.
    """

    def attempt() -> bool | None:
        if ours():
            return _took(fd, fcntl.LOCK_SH)
        alone = _took(fd, fcntl.LOCK_EX)
        if alone is False:
            return False
        take_over(alone is True)
        return _took(fd, fcntl.LOCK_SH)

    _until(attempt, root, SECONDS)


def _took(fd: int, kind: int) -> bool | None:
    """Whether the lock was taken; None where the file system has no locks, as some network file systems."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _until(attempt: Callable[[], bool | None], root: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (took := attempt()) is False:
        if time.monotonic() >= deadline:
            raise ShardsError(f"{root} is being written by another export", "Wait for it, or choose another folder")
        time.sleep(0.1)
    return took is True
