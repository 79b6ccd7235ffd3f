"""All bytes of a read or a write, in as many calls as it takes; and checksums of shards: BLAKE3 or SHA-256."""

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
    """Return `size` bytes of an open file from offset `at` on, fewer only where the file ends."""
    data = os.pread(fd, min(size, _MOST), at)
    if len(data) == size or not data:
        return data
    parts, done = [data], len(data)
    while done < size and (data := os.pread(fd, min(size - done, _MOST), at + done)):
        parts.append(data)
        done += len(data)
    return b"".join(parts)


def write_fully(fd: int, data: bytes | memoryview) -> None:
    """Write all bytes to an open file."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def preadv_fully(fd: int, parts: Sequence[memoryview | bytearray], at: int) -> int:
    """Fill writable buffers of bytes one after another with an open file's bytes from offset `at` on.

    Returns:
        Bytes read: those of all buffers, fewer only where the file ends.
    """
    rest = [memoryview(part) for part in parts]
    size, done = sum(map(len, rest)), 0
    while done < size and (count := os.preadv(fd, rest[:_MOST_PARTS], at + done)):
        done += count
        while rest and count >= len(rest[0]):
            count -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][count:]
    return done


class Hasher(Protocol):
    """A running checksum."""

    def update(self, data: bytes | memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


def hasher(algorithm: str) -> Hasher:
    """Return a new running checksum: `blake3` or `sha256`."""
    return hashlib.sha256() if algorithm == "sha256" else blake3.blake3()


def checksum_of(data: bytes | memoryview, algorithm: str) -> str:
    """Return the checksum of bytes (hex)."""
    checksum = hasher(algorithm)
    checksum.update(data)
    return checksum.hexdigest()


def file_checksum(path: Path, algorithm: str) -> str:
    """Return the checksum of a file (hex)."""
    # Errors of `update_mmap` contain neither the reason nor the file, so it is opened for both.
    with path.open("rb") as file:
        if algorithm == "blake3":
            return blake3.blake3().update_mmap(path).hexdigest()
        return hashlib.file_digest(file, algorithm).hexdigest()
