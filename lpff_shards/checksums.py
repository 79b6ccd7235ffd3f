"""Checksums of shards: BLAKE3 or SHA-256, with marks along the way that tell where a damaged shard first differs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import blake3

MARK_DIGITS = 16


class Hasher(Protocol):
    """A running checksum."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Adds bytes."""

    def mark(self) -> str:
        """The first 16 hex digits of the checksum so far."""

    def hexdigest(self) -> str:
        """The checksum so far."""


class _Blake3:
    def __init__(self) -> None:
        self._state = blake3.blake3()
        self.update = self._state.update

    def mark(self) -> str:
        return self._state.hexdigest(length=MARK_DIGITS // 2)

    def hexdigest(self) -> str:
        return self._state.hexdigest()


class _Sha256:
    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self.update = self._state.update

    def mark(self) -> str:
        return self._state.copy().hexdigest()[:MARK_DIGITS]

    def hexdigest(self) -> str:
        return self._state.hexdigest()


def hasher(algorithm: str) -> Hasher:
    """A new running checksum: `blake3` or `sha256`."""
    return _Sha256() if algorithm == "sha256" else _Blake3()


def file_checksum(path: Path, algorithm: str) -> str:
    """The checksum of a file (hex).

    Raises:
        OSError: it cannot be read.
    """
    if algorithm == "blake3":
        return blake3.blake3().update_mmap(path).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
