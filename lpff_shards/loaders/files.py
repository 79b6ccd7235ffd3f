"""Open files of shards, read at offsets: safe to share between threads and with forked processes."""

from __future__ import annotations

import errno
import os
import platform
import resource
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Offsets
from lpff_shards.formats.registry import index_names
from lpff_shards.loaders.shards import Span, changed, sample_offsets, too_short
from lpff_shards.manifest import Manifest, Shard, read_manifest
from lpff_shards.storage.file_io import pread_fully, preadv_fully
from lpff_shards.storage.path import is_file

MOST_OPEN = 1024
"""Most files that the sources of a process keep open, if the system allows four times as many."""


class _Mark(NamedTuple):
    """The identity of a file, to detect another file with its name."""

    size: int
    time: int
    inode: int


class _OpenFile:
    """An open file, closed with its last reference: one thread may read it while another drops it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class ShardFiles:
    """The shards of a data set in a folder, read at offsets. Safe in threads; pickles without its open files.

    Raises:
        ShardsError: a shard is missing or not a regular file; on reading, it cannot be read or was replaced.
    """

    def __init__(self, root: Path, manifest: Manifest, names: Sequence[str]) -> None:
        self._root = root
        self._manifest = manifest
        self._paths = tuple(root / name for name in names)
        self.marks = list(map(_marked, self._paths))
        self._node = platform.node()
        self._open: dict[int, _OpenFile] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": {}}

    def path(self, shard: int) -> Path:
        """Return a shard's path."""
        return self._paths[shard]

    def read_batch(self, spans: Iterable[Span]) -> Iterable[ShardFiles]:  # noqa: ARG002
        """Yield the reader of each span: this object, since the system reads ahead."""
        return repeat(self)

    read_sequential = read_batch

    def read(self, shard: int, at: int, size: int) -> bytes:
        """Return bytes of a shard, fewer at its end."""
        file = self._file(shard)
        try:
            return pread_fully(file.fd, size, at)
        except OSError as error:
            raise _unreadable(self._paths[shard], error) from None

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:
        """Fill buffers with consecutive bytes of a shard; raise ShardsError if it ends before they are full."""
        file, size = self._file(shard), sum(map(len, parts))
        try:
            # One call is nearly always enough.
            missing = size - os.preadv(file.fd, parts, at) and size - preadv_fully(file.fd, parts, at)
        except OSError as error:
            raise _unreadable(self._paths[shard], error) from None
        if missing:
            raise too_short(self._paths[shard], missing)

    def check(self, shard: int) -> None:
        """Raise ShardsError for an open shard that was written to; called after the reads of a sample."""
        file = self._open.get(shard)
        if file is not None:
            now, known = os.fstat(file.fd), self.marks[shard]
            if now.st_mtime_ns != known.time or now.st_size != known.size:
                raise changed(self._paths[shard])

    def check_path(self, shard: int) -> None:
        """Raise ShardsError for a shard whose file was replaced, for readers that open it themselves."""
        try:
            self._compare(shard, self._paths[shard].stat())
        except OSError as error:
            raise _unreadable(self._paths[shard], error) from None

    def _file(self, shard: int) -> _OpenFile:
        """Return a shard's open file; at the limit it replaces another open file of this source.

        No lock: a process forked while one is held would wait forever. Of two threads the first one's file stays.
        """
        file = self._open.get(shard)
        if file is None:
            try:
                file = _OpenFile(_open(self._paths[shard]))
                status = os.fstat(file.fd)
            except OSError as error:
                raise _unreadable(self._paths[shard], error) from None
            self._compare(shard, status)
            _SOURCES[id(self)] = self
            if self._open and sum(len(source._open) for source in _sources()) >= most_open():
                with suppress(KeyError):
                    self._open.popitem()
            file = self._open.setdefault(shard, file)
        return file

    def _compare(self, shard: int, status: os.stat_result) -> None:
        """Refuse another file, unless it is a copy with the same bytes, by its manifest.

        Some network file systems change inode numbers, and on another machine the data set may be a copy.
        """
        known, mark = self.marks[shard], _Mark(status.st_size, status.st_mtime_ns, status.st_ino)
        if mark != known:
            alike = mark.time == known.time or platform.node() != self._node
            if mark.size != known.size or not alike or read_manifest(self._root) != self._manifest:
                raise changed(self._paths[shard])
        # Later reads compare a copy with itself.
        self.marks[shard] = mark


def open_files(root: Path, manifest: Manifest, shards: Sequence[Shard]) -> tuple[ShardFiles, list[Offsets]]:
    """Return a reader of shards in a folder, and the offsets of each shard's samples.

    Raises:
        ShardsError: a shard is missing or not a regular file, or differs from the manifest or its index file.
    """
    files = ShardFiles(root, manifest, [shard.file for shard in shards])
    return files, [_offsets(root, shard, mark.size) for shard, mark in zip(shards, files.marks, strict=True)]


def _marked(path: Path) -> _Mark:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        # A device would be read forever.
        raise ShardsError(f"{path} is not a regular file", "See lpff-shards verify, and export it again")
    return _Mark(status.st_size, status.st_mtime_ns, status.st_ino)


def _offsets(root: Path, shard: Shard, size: int) -> Offsets:
    path, index = root / shard.file, root / index_names(shard.file)[-1]
    try:
        if is_file(index):
            return sample_offsets(path, shard, size, index.read_bytes())
        with path.open("rb", buffering=0) as file:
            return sample_offsets(path, shard, size, lambda at, size: pread_fully(file.fileno(), size, at))
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ShardsError:
    return ShardsError(f"{path} cannot be read: {error.strerror}", "Check the folder")


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
