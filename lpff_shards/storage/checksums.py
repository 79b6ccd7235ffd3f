"""Checksums of shards: BLAKE3 or SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import blake3


class Hasher(Protocol):
    """A running checksum."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Adds bytes."""

    def hexdigest(self) -> str:
        """The checksum so far."""


def hasher(algorithm: str) -> Hasher:
    """A new running checksum: `blake3` or `sha256`."""
    return hashlib.sha256() if algorithm == "sha256" else blake3.blake3()


def checksum_of(data: bytes | memoryview, algorithm: str) -> str:
    """The checksum of bytes (hex)."""
    checksum = hasher(algorithm)
    checksum.update(data)
    return checksum.hexdigest()


def file_checksum(path: Path, algorithm: str) -> str:
    """The checksum of a file (hex).

    Raises:
        OSError: it cannot be read.
    """
    if algorithm == "blake3":
        # Opened here first, since an error of `update_mmap` does not say what is wrong with which file.
        with path.open("rb"):
            return blake3.blake3().update_mmap(path).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
