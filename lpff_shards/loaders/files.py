"""Ranges and offsets of samples in shards, and shards in a folder, read at offsets by open files.

Files are safe to share between threads and with forked processes. `object_reader` reads shards in a bucket.
"""

from __future__ import annotations

import errno
import os
import platform
import resource
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Offsets
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.registry import format_of, index_names
from lpff_shards.manifest import Manifest, Shard, read_manifest
from lpff_shards.schemas.text import did_you_mean
from lpff_shards.storage.file_io import pread_fully, preadv_fully
from lpff_shards.storage.path import StoragePath, is_file, is_remote

MOST_OPEN = 1024
"""Most files that the sources of a process keep open, if the system allows four times as many."""


class Span(NamedTuple):
    """A range of a shard's bytes: the shard's number, and the start and end offsets (end excluded)."""

    shard: int
    start: int
    end: int


def shards_of_split(root: str | StoragePath, manifest: Manifest, split: str | None) -> tuple[Shard, ...]:
    """Return the shards of a split, of all for None; raise ShardsError if there are none."""
    shards = tuple(shard for shard in manifest.shards if split in (None, shard.split))
    if not shards:
        hint = f"{did_you_mean(str(split), manifest.splits)}It has: {', '.join(manifest.splits)}"
        raise ShardsError(f"{root} has no split {split!r}", hint)
    return shards


def sample_offsets(path: StoragePath, shard: Shard, size: int, index: bytes | Callable[[int, int], bytes]) -> Offsets:
    """Return the offsets of the samples of a shard of `size` bytes.

    Args:
        index: its index file, or a function that reads the shard by offset and number of bytes.

    Raises:
        ShardsError: the length of the shard differs from the manifest or the index, or its headers are damaged.
    """
    format = format_of(shard.file)
    spans = None if format is None else format.spans()
    assert spans is not None, "other formats were refused before"
    try:
        found = spans.offsets(index) if isinstance(index, bytes) else np.fromiter(spans.scan(index), np.int64)
    except (ValueError, OverflowError, FormatError):
        found = np.zeros(0, np.int64)
    whole = len(found) == shard.samples + 1 and found[0] == 0 and (np.diff(found) > 0).all()
    if size != shard.bytes or not whole or found[-1] != size - len(spans.end):
        raise ShardsError(
            f"{path} does not match its manifest or its index file",
            "Run lpff-shards verify; lpff-shards index repairs index files",
        )
    return found


def unreadable(path: StoragePath, error: OSError) -> ShardsError:
    """Return the error for a shard or index file that cannot be read."""
    hint = "Check the bucket, its credentials and the network" if is_remote(path) else "Check the folder"
    return ShardsError(f"{path} cannot be read: {error.strerror}", hint)


def too_short(path: StoragePath, missing: int) -> ShardsError:
    """Return the error for a shard that ends before the requested bytes."""
    return ShardsError(f"{path} ends {missing} bytes too early", "See lpff-shards verify")


def changed(path: StoragePath) -> ShardsError:
    """Return the error for a shard that was replaced after the data set was opened."""
    return ShardsError(f"{path} has changed since it was opened", "Open the data set again")


class _OpenFile:
    """An open file, closed with its last reference: one thread may read it while another drops it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class ShardFiles:
    """The shards of a data set in a folder, read at offsets. Safe in threads; pickles without its open files.

    Its methods raise OSError, and ShardsError for a shard that was replaced.
    """

    def __init__(self, root: Path, manifest: Manifest, paths: Sequence[Path], stats: Sequence[os.stat_result]) -> None:
        self._root = root
        self._manifest = manifest
        self.paths = tuple(paths)
        self._stats = list(stats)
        self._node = platform.node()
        self._open: dict[int, _OpenFile] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": {}}

    def read_batch(self, spans: Iterable[Span]) -> Iterable[ShardFiles]:  # noqa: ARG002
        """Yield the reader of each span: this object, since the system reads ahead."""
        return repeat(self)

    read_sequential = read_batch

    def read(self, shard: int, at: int, size: int) -> bytes:
        """Return bytes of a shard, fewer at its end."""
        return pread_fully(self._file(shard).fd, size, at)

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:
        """Fill buffers with consecutive bytes of a shard; raise ShardsError if it ends before they are full."""
        file, size = self._file(shard), sum(map(len, parts))
        # One call is nearly always enough.
        if missing := size - os.preadv(file.fd, parts, at) and size - preadv_fully(file.fd, parts, at):
            raise too_short(self.paths[shard], missing)

    def check(self, shard: int) -> None:
        """Raise ShardsError for an open shard that was written to; called after the reads of a sample."""
        file = self._open.get(shard)
        if file is not None:
            now, known = os.fstat(file.fd), self._stats[shard]
            if now.st_mtime_ns != known.st_mtime_ns or now.st_size != known.st_size:
                raise changed(self.paths[shard])

    def _file(self, shard: int) -> _OpenFile:
        """Return a shard's open file; at the limit it replaces another open file of this source.

        No lock: a process forked while one is held would wait forever. Of two threads the first one's file stays.
        """
        file = self._open.get(shard)
        if file is None:
            file = _OpenFile(_open(self.paths[shard]))
            self._compare(shard, os.fstat(file.fd))
            _SOURCES[id(self)] = self
            if self._open and sum(len(source._open) for source in _sources()) >= most_open():
                with suppress(KeyError):
                    self._open.popitem()
            file = self._open.setdefault(shard, file)
        return file

    def _compare(self, shard: int, now: os.stat_result) -> None:
        """Refuse another file, unless it is a copy with the same bytes, by its manifest.

        Some network file systems change inode numbers, and on another machine the data set may be a copy.
        """
        known = self._stats[shard]
        same_size, same_time = now.st_size == known.st_size, now.st_mtime_ns == known.st_mtime_ns
        if not (same_size and same_time and now.st_ino == known.st_ino):
            alike = same_size and (same_time or platform.node() != self._node)
            if not alike or read_manifest(self._root) != self._manifest:
                raise changed(self.paths[shard])
        # Later reads compare a copy with itself.
        self._stats[shard] = now


def open_files(root: Path, manifest: Manifest, shards: Sequence[Shard]) -> tuple[ShardFiles, list[Offsets]]:
    """Return a reader of shards in a folder, and the offsets of each shard's samples.

    Raise ShardsError if a shard is missing or not a regular file, or differs from the manifest or its index file.
    """
    paths = [root / shard.file for shard in shards]
    found = list(map(_opened, paths, shards))
    return ShardFiles(root, manifest, paths, [status for status, _ in found]), [offsets for _, offsets in found]


def _opened(path: Path, shard: Shard) -> tuple[os.stat_result, Offsets]:
    index = path.parent / index_names(shard.file)[-1]
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # A device would be read forever.
            raise ShardsError(f"{path} is not a regular file", "See lpff-shards verify, and export it again")
        if is_file(index):
            return status, sample_offsets(path, shard, status.st_size, index.read_bytes())
        with path.open("rb", buffering=0) as file:
            return status, sample_offsets(
                path, shard, status.st_size, lambda at, size: pread_fully(file.fileno(), size, at)
            )
    except OSError as error:
        raise unreadable(path, error) from None


def most_open() -> int:
    """Return how many files the sources of this process keep open together: a quarter of the system's limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if limit == resource.RLIM_INFINITY else min(MOST_OPEN, limit // 4)


def _open(path: Path) -> int:
    """Open a file without waiting for the writer of a pipe; at the limit, close the sources' open files first."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
    for source in _sources():
        source._open.clear()
    return os.open(path, flags)


_SOURCES: WeakValueDictionary[int, ShardFiles] = WeakValueDictionary()


def _sources() -> list[ShardFiles]:
    return [source for ref in _SOURCES.valuerefs() if (source := ref()) is not None]
