"""Reads that return every requested byte, and checksums of shards: BLAKE3 or SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import blake3

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


class Hasher(Protocol):
    """A running checksum."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the checksum so far."""


def hasher(algorithm: str) -> Hasher:
    """Return a new running checksum: `blake3` or `sha256`."""
    return hashlib.sha256() if algorithm == "sha256" else blake3.blake3()


def checksum_of(data: bytes | memoryview, algorithm: str) -> str:
    """Return the checksum of bytes (hex)."""
    checksum = hasher(algorithm)
    checksum.update(data)
    return checksum.hexdigest()


def file_checksum(path: Path, algorithm: str) -> str:
    """Return the checksum of a file (hex).

    Raises:
        OSError: the file cannot be read.
    """
    if algorithm == "blake3":
        # Open it first, since errors of `update_mmap` contain neither the reason nor the file.
        with path.open("rb"):
            return blake3.blake3().update_mmap(path).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
