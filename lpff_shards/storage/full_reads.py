"""Reads at an offset that loop: the system may return fewer bytes than requested before the end of a file."""

from __future__ import annotations

import os
from collections.abc import Sequence

_MOST = 1 << 30
"""Bytes requested in one call: Linux returns 2 GiB at most, and a wrong length must not reserve more memory."""
_MOST_PARTS = 1024
"""Buffers filled in one call: Linux refuses more."""


def pread_fully(fd: int, size: int, at: int) -> bytes:
    """Return `size` bytes of an open file from offset `at` on, fewer only where the file ends.

    Raises:
        OSError: the file cannot be read.
    """
    data = os.pread(fd, min(size, _MOST), at)
    if len(data) == size or not data:
        return data
    parts, done = [data], len(data)
    while done < size and (data := os.pread(fd, min(size - done, _MOST), at + done)):
        parts.append(data)
        done += len(data)
    return b"".join(parts)


def preadv_fully(fd: int, parts: Sequence[memoryview | bytearray], at: int) -> int:
    """Fill buffers one after another with an open file's bytes from offset `at` on.

    Args:
        parts: writable, of bytes.

    Returns:
        Bytes read: those of all buffers, fewer only where the file ends.

    Raises:
        OSError: the file cannot be read.
    """
    rest = [memoryview(part) for part in parts]
    size, done = sum(map(len, rest)), 0
    while done < size and (count := os.preadv(fd, rest[:_MOST_PARTS], at + done)):
        done += count
        if done < size:
            rest = _unfilled(rest, count)
    return done


def _unfilled(parts: list[memoryview], count: int) -> list[memoryview]:
    """Return the rest of buffers whose first `count` bytes are filled."""
    for number, part in enumerate(parts):
        if count < len(part):
            return [part[count:], *parts[number + 1 :]]
        count -= len(part)
    return []
