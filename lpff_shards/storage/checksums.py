"""Checksums of shards: BLAKE3 or SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import blake3


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
